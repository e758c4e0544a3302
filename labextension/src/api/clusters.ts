import { ServerConnection } from '@jupyterlab/services';

import { request } from './request';
import {
  IAdaptBody,
  ICapacity,
  IChangeCluster,
  IClusterView,
  ILogsAnswer,
  INewCluster
} from './schema';

/** Which lines of a cluster's log to fetch. */
export interface ILogQuery {
  /** Only lines after the one with this number. */
  readonly after?: number;
  readonly limit?: number;
  /** Only this level and worse. */
  readonly level?: string;
  /** Only this worker's lines. */
  readonly worker?: string;
}

/** The REST API of nbcluster, one method for each of its operations. */
export class ClustersApi {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  list(): Promise<readonly IClusterView[]> {
    return this.send('GET', 'clusters');
  }

  create(cluster: INewCluster): Promise<IClusterView> {
    return this.send('POST', 'clusters', cluster);
  }

  change(id: string, change: IChangeCluster): Promise<IClusterView> {
    return this.send('PATCH', path(id), change);
  }

  scale(id: string, n: number): Promise<IClusterView> {
    return this.send('POST', path(id, 'scale'), { n });
  }

  adapt(id: string, limits: IAdaptBody): Promise<IClusterView> {
    return this.send('POST', path(id, 'adapt'), limits);
  }

  stopAdapting(id: string): Promise<IClusterView> {
    return this.send('DELETE', path(id, 'adapt'));
  }

  restart(id: string): Promise<IClusterView> {
    return this.send('POST', path(id, 'restart'));
  }

  /** Resolves when nothing of the cluster is left. */
  async shutDown(id: string): Promise<void> {
    await this.send('DELETE', path(id));
  }

  logs(id: string, query: ILogQuery): Promise<ILogsAnswer> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      parameters.set(name, String(value));
    }
    return this.send('GET', `${path(id, 'logs')}?${parameters.toString()}`);
  }

  capacity(): Promise<ICapacity> {
    return this.send('GET', 'capacity');
  }

  private send<T>(method: string, endpoint: string, body?: object): Promise<T> {
    const init = { method, ...(body && { body: JSON.stringify(body) }) };
    return request<T>(endpoint, init, this.settings);
  }
}

function path(id: string, action?: string): string {
  const cluster = `clusters/${encodeURIComponent(id)}`;
  return action ? `${cluster}/${action}` : cluster;
}
