import { Event } from '@jupyterlab/services';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { ClustersApi } from '../api/clusters';
import { ApiError } from '../api/request';
import {
  EVENT_ID,
  IAdaptBody,
  IClusterView,
  IChangeCluster,
  INewCluster
} from '../api/schema';
import { isAlive } from './figures';
import { WatchedPoll } from './watched';

/** What somebody asked of a cluster, while the answer is awaited. */
export type Operation = 'adapt' | 'change' | 'restart' | 'scale' | 'shutDown';

/** Everything that views show about the clusters, at one moment. */
export interface IClustersState {
  /** `absent`: the Jupyter server has no nbcluster. */
  readonly phase: 'loading' | 'ready' | 'absent';
  /** Oldest first. */
  readonly clusters: readonly IClusterView[];
  /** Why `clusters` is not up to date, or null when it is. */
  readonly error: Error | null;
  readonly pending: ReadonlyMap<string, Operation>;
}

/**
 * The clusters of the Jupyter server: the one place that knows them.
 *
 * #### Notes
 * Three things tell about a cluster: events, lists that were asked for, and
 * answers to commands. They overtake each other, so:
 *
 * 1. Of two views of a cluster, the one that the cluster made later counts.
 * 2. A list ends only those clusters of which nothing was heard since it was
 *    asked for.
 * 3. What has ended stays ended: ids are never used twice.
 *
 * Events are enough. Only while somebody watches and they fall silent (a proxy
 * may block websockets) the list is asked for, at most once a second.
 */
export class ClustersModel implements IDisposable {
  constructor({ api, events }: ClustersModel.IOptions) {
    this.api = api;
    this._events = events;
    this._poll = new WatchedPoll('nbcluster:clusters', () => this._keepFresh());
    events.connect(this._onEvent);
    this.ready = this.refresh();
  }

  /** For what concerns one view only, such as reading a log. */
  readonly api: ClustersApi;

  /** Resolves when the server has answered for the first time. Never rejects. */
  readonly ready: Promise<void>;

  /** What there is now. Another object each time that something has changed. */
  get state(): IClustersState {
    return this._state;
  }

  /** Emitted when `state` is another one. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  /** The cluster with this id, while it exists. */
  find(id: string): IClusterView | undefined {
    return this._state.clusters.find(cluster => cluster.id === id);
  }

  /** The last that was heard of a cluster that ended while this page was open. */
  lastView(id: string): IClusterView | undefined {
    return this._ended.get(id);
  }

  /**
   * Make sure that it is known whether there is such a cluster: of one that has
   * only just been made, nothing may have been heard yet.
   */
  async lookUp(id: string): Promise<void> {
    await this.ready;
    if (!this.find(id) && !this._ended.has(id) && !this._isAbsent) {
      this._lookingUp ??= this.refresh().finally(() => {
        this._lookingUp = null;
      });
      await this._lookingUp;
    }
  }

  /** Keep the figures fresh until what this returns is disposed. */
  watch(): IDisposable {
    return this._poll.watch();
  }

  /** Ask the server for all clusters. Never rejects: `state.error` tells. */
  async refresh(): Promise<void> {
    try {
      await this._fetch();
    } catch {
      // Views show it.
    }
  }

  async create(cluster: INewCluster): Promise<IClusterView> {
    const view = await this.api.create(cluster);
    this._hear(view);
    return view;
  }

  async change(id: string, change: IChangeCluster): Promise<void> {
    await this._command(id, 'change', () => this.api.change(id, change));
  }

  async scale(id: string, n: number): Promise<void> {
    await this._command(id, 'scale', () => this.api.scale(id, n));
  }

  async adapt(id: string, limits: IAdaptBody): Promise<void> {
    await this._command(id, 'adapt', () => this.api.adapt(id, limits));
  }

  async stopAdapting(id: string): Promise<void> {
    await this._command(id, 'adapt', () => this.api.stopAdapting(id));
  }

  async restart(id: string): Promise<void> {
    await this._command(id, 'restart', () => this.api.restart(id));
  }

  async shutDown(id: string): Promise<void> {
    await this._command(id, 'shutDown', async () => {
      await this.api.shutDown(id);
      this._end([id]);
      return null;
    });
  }

  dispose(): void {
    if (!this.isDisposed) {
      this._events.disconnect(this._onEvent);
      this._poll.dispose();
      Signal.clearData(this);
    }
  }

  private async _command(
    id: string,
    operation: Operation,
    run: () => Promise<IClusterView | null>
  ): Promise<void> {
    this._setPending(id, operation);
    try {
      const view = await run();
      if (view) {
        this._hear(view);
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) {
        this._end([id]);
      }
      throw error;
    } finally {
      this._setPending(id, null);
    }
  }

  private _setPending(id: string, operation: Operation | null): void {
    const pending = new Map(this._state.pending);
    if (operation) {
      pending.set(id, operation);
    } else {
      pending.delete(id);
    }
    this._set({ pending });
  }

  private readonly _onEvent = (_: unknown, event: Event.Emission): void => {
    if (event.schema_id !== EVENT_ID) {
      return;
    }
    const view = event.cluster as unknown as IClusterView;
    if (event.action === 'removed') {
      this._end([view.id], view);
    } else {
      this._hear(view);
    }
  };

  private get _isAbsent(): boolean {
    return this._state.phase === 'absent';
  }

  private async _keepFresh(): Promise<void> {
    if (this._isAbsent) {
      return;
    }
    const silence = Date.now() - this._lastNews;
    const bearable = this._state.clusters.some(isAlive)
      ? SILENCE_WHILE_ALIVE
      : SILENCE_WHILE_EMPTY;
    if (this._state.error !== null || silence >= bearable) {
      await this._fetch();
    }
  }

  private async _fetch(): Promise<void> {
    const asked = (this._clock += 1);
    try {
      const views = await this.api.list();
      const order = views.map(view => view.id);
      const gone = this._state.clusters.filter(
        ({ id }) => !order.includes(id) && (this._heard.get(id) ?? 0) < asked
      );
      this._end(gone.map(view => view.id));
      views.forEach(view => {
        this._hear(view);
      });
      const clusters = [...this._state.clusters].sort(
        (a, b) => order.indexOf(a.id) - order.indexOf(b.id)
      );
      this._lastNews = Date.now();
      this._set({ phase: 'ready', clusters, error: null });
    } catch (error) {
      // Later on, a 404 is a proxy's whose Jupyter server is away for a moment.
      const first = this._state.phase === 'loading';
      if (first && error instanceof ApiError && error.status === 404) {
        this._set({ phase: 'absent' });
        return;
      }
      this._set({ phase: 'ready', error: error as Error });
      throw error;
    }
  }

  /** Take note of a view, unless it is old news. */
  private _hear(view: IClusterView): void {
    this._lastNews = Date.now();
    if (this._ended.has(view.id)) {
      return;
    }
    this._heard.set(view.id, (this._clock += 1));
    const clusters = this._state.clusters;
    const known = clusters.find(({ id }) => id === view.id);
    if (!known) {
      this._set({ clusters: [...clusters, view] });
    } else if (view.time >= known.time) {
      this._set({ clusters: clusters.map(c => (c === known ? view : c)) });
    }
  }

  private _end(ids: readonly string[], last?: IClusterView): void {
    for (const id of ids) {
      const view = last ?? this.find(id) ?? this._ended.get(id);
      if (view) {
        this._ended.set(id, view);
      }
      this._heard.delete(id);
    }
    const clusters = this._state.clusters.filter(({ id }) => !ids.includes(id));
    if (ids.length > 0) {
      this._set({ clusters });
    }
  }

  private _set(change: Partial<IClustersState>): void {
    this._state = { ...this._state, ...change };
    this._changed.emit();
  }

  private readonly _events: Event.Stream;
  private readonly _poll: WatchedPoll;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _ended = new Map<string, IClusterView>();
  /** When each cluster was last heard of, in ticks of `_clock`. */
  private readonly _heard = new Map<string, number>();
  private _lookingUp: Promise<void> | null = null;
  private _clock = 0;
  private _lastNews = 0;
  private _state: IClustersState = {
    phase: 'loading',
    clusters: [],
    error: null,
    pending: new Map()
  };
}

/** Milliseconds without news after which somebody who watches wants to ask. */
const SILENCE_WHILE_ALIVE = 3 * 1000;
const SILENCE_WHILE_EMPTY = 15 * 1000;

export namespace ClustersModel {
  /** How to make a model. */
  export interface IOptions {
    readonly api: ClustersApi;
    /** The events of the Jupyter server. */
    readonly events: Event.Stream;
  }
}
