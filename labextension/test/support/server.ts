import { Event, ServerConnection } from '@jupyterlab/services';
import { Stream } from '@lumino/signaling';

import { ClustersApi } from '../../src/api/clusters';
import { EVENT_ID, IClusterView, ILogLine } from '../../src/api/schema';
import { ClustersModel } from '../../src/model/clusters';

/** A Jupyter server with clusters, in memory. Tests act as the outside world by changing what it has. */
export class FakeServer {
  clusters: readonly IClusterView[] = [];
  log: readonly ILogLine[] = [];
  /** The next requests are answered with this instead. */
  failure: { readonly status: number; readonly message: string } | null = null;
  /** Method and path of all requests so far, and what they carried. */
  readonly requests: { readonly what: string; readonly body: unknown }[] = [];

  readonly settings = ServerConnection.makeSettings({
    baseUrl: 'http://localhost/user/jo/',
    appendToken: false,
    fetch: (input: RequestInfo | URL) => this._answer(input as Request)
  });

  readonly api = new ClustersApi(this.settings);
  readonly events = new Stream<Event.IManager, Event.Emission>(
    {} as Event.IManager
  );

  model(): ClustersModel {
    return new ClustersModel({ api: this.api, events: this.events });
  }

  /** Tell all browsers what happened to a cluster. */
  announce(
    action: 'changed' | 'created' | 'removed',
    view: IClusterView
  ): void {
    const cluster = JSON.parse(JSON.stringify(view)) as Event.Emission;
    this.events.emit({ schema_id: EVENT_ID, action, id: view.id, cluster });
  }

  /** Method and path, in the order in which they came. */
  get asked(): readonly string[] {
    return this.requests.map(({ what }) => what);
  }

  private async _answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const path = url.pathname.replace('/user/jo/nbcluster/api/v1/', '');
    const text = await request.text();
    this.requests.push({
      what: `${request.method} ${path}`,
      body: text ? (JSON.parse(text) as unknown) : undefined
    });
    if (this.failure) {
      const { status, message } = this.failure;
      return json({ message, reason: 'because' }, status);
    }
    if (path === 'clusters' && request.method === 'GET') {
      return json(this.clusters);
    }
    const [, id, action] = path.split('/');
    const view = this.clusters.find(cluster => cluster.id === id);
    if (!view) {
      return json({ message: `there is no cluster ${id}` }, 404);
    }
    if (action === 'logs') {
      return json(this._select(url.searchParams));
    }
    if (!action && request.method === 'DELETE') {
      this.clusters = this.clusters.filter(cluster => cluster !== view);
      return new Response(null, { status: 204 });
    }
    return json(view);
  }

  private _select(query: URLSearchParams): object {
    const after = Number(query.get('after'));
    const lines = this.log
      .filter(
        ({ number, level, worker }) =>
          number > after &&
          level === (query.get('level') ?? level) &&
          String(worker) === (query.get('worker') ?? String(worker))
      )
      .slice(0, Number(query.get('limit')));
    return { lines, last: lines.at(-1)?.number ?? after };
  }
}

function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status });
}

/** Wait until something is so. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 3000;
  while (!condition()) {
    if (Date.now() > deadline) {
      throw new Error(`not within 3 s: ${String(condition)}`);
    }
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}
