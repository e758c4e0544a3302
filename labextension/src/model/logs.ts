import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { ClustersApi } from '../api/clusters';
import { ILogLine } from '../api/schema';
import { WatchedPoll } from './watched';

/** Which lines to show; the empty string means all. */
export interface ILogFilter {
  /** This level and worse. */
  readonly level: string;
  /** The name of one worker. */
  readonly worker: string;
}

/** What a log view shows. */
export interface ILogState {
  /** Oldest first; the last few thousand. */
  readonly lines: readonly ILogLine[];
  readonly filter: ILogFilter;
  /** Whether the first answer for this filter is still awaited. */
  readonly loading: boolean;
  readonly error: Error | null;
}

/**
 * The log of one cluster, followed while somebody watches.
 *
 * The server filters, so that the errors of a chatty cluster are not crowded
 * out by what is not shown.
 */
export class LogModel implements IDisposable {
  constructor({ api, id }: LogModel.IOptions) {
    this.id = id;
    this._api = api;
    this._poll = new WatchedPoll('nbcluster:log', () => this._fetch());
  }

  /** The cluster. */
  readonly id: string;

  get state(): ILogState {
    return this._state;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  /** Follow the log until what this returns is disposed. */
  watch(): IDisposable {
    return this._poll.watch();
  }

  /** Show other lines. */
  setFilter(change: Partial<ILogFilter>): void {
    const filter = { ...this._state.filter, ...change };
    this._last = 0;
    this._set({ filter, lines: [], loading: true, error: null });
    this._poll.hurry();
  }

  dispose(): void {
    if (!this.isDisposed) {
      this._poll.dispose();
      Signal.clearData(this);
    }
  }

  private async _fetch(): Promise<void> {
    for (let more = true; more && !this.isDisposed;) {
      const { filter } = this._state;
      try {
        const answer = await this._api.logs(this.id, {
          after: this._last,
          limit: PAGE,
          ...(filter.level && { level: filter.level }),
          ...(filter.worker && { worker: filter.worker })
        });
        if (filter === this._state.filter) {
          this._last = answer.last;
          this._add(answer.lines);
          more = answer.lines.length === PAGE;
        } // else somebody wants other lines by now
      } catch (error) {
        this._set({ loading: false, error: error as Error });
        throw error;
      }
    }
  }

  private _add(lines: readonly ILogLine[]): void {
    const { loading, error } = this._state;
    if (lines.length > 0 || loading || error !== null) {
      this._set({
        lines: [...this._state.lines, ...lines].slice(-MOST_LINES),
        loading: false,
        error: null
      });
    }
  }

  private _set(change: Partial<ILogState>): void {
    this._state = { ...this._state, ...change };
    this._changed.emit();
  }

  private readonly _api: LogModel.IOptions['api'];
  private readonly _poll: WatchedPoll;
  private readonly _changed = new Signal<this, void>(this);
  private _last = 0;
  private _state: ILogState = {
    lines: [],
    filter: { level: '', worker: '' },
    loading: true,
    error: null
  };
}

/** How many lines to ask for at once. */
const PAGE = 2000;

/** How many lines to keep. */
const MOST_LINES = 5000;

/** The lines that contain a text, whatever its case. */
export function search(
  lines: readonly ILogLine[],
  text: string
): readonly ILogLine[] {
  const wanted = text.toLowerCase();
  return wanted
    ? lines.filter(
        ({ text, source }) =>
          text.toLowerCase().includes(wanted) ||
          source.toLowerCase().includes(wanted)
      )
    : lines;
}

export namespace LogModel {
  /** How to make a model. */
  export interface IOptions {
    readonly api: Pick<ClustersApi, 'logs'>;
    readonly id: string;
  }
}
