import { DisposableDelegate, IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';

/**
 * Does something once a second while somebody watches and the page is visible;
 * less often while it fails; never twice at the same time.
 */
export class WatchedPoll implements IDisposable {
  constructor(name: string, work: () => Promise<void>) {
    this._poll = new Poll({
      auto: false,
      name,
      factory: () =>
        (this._running ??= work().finally(() => {
          this._running = null;
        })),
      frequency: { interval: 1000, backoff: true, max: 30 * 1000 },
      standby: 'when-hidden'
    });
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  /** Go on until what this returns is disposed; begin at once. */
  watch(): IDisposable {
    this._watchers += 1;
    if (this._watchers === 1) {
      this.hurry();
    }
    return new DisposableDelegate(() => {
      this._watchers -= 1;
      if (this._watchers === 0) {
        void this._poll.stop();
      }
    });
  }

  /** Do not wait for the next second, if anybody watches. */
  hurry(): void {
    if (this._watchers > 0) {
      void this._poll.refresh();
    }
  }

  dispose(): void {
    this._poll.dispose();
  }

  private readonly _poll: Poll;
  private _running: Promise<void> | null = null;
  private _watchers = 0;
}
