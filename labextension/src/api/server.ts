import { ServerConnection } from '@jupyterlab/services';

import { IServer } from '../tokens';
import { ApiError, request } from './request';

/** Find out, with one request, whether the server has nbcluster. */
export function connect(settings: ServerConnection.ISettings): IServer {
  return { settings, available: probe(settings) };
}

async function probe(settings: ServerConnection.ISettings): Promise<boolean> {
  try {
    await request('clusters', {}, settings);
    return true;
  } catch (error) {
    // A 404 is an ordinary server without nbcluster: not worth a word.
    if (!(error instanceof ApiError && error.status === 404)) {
      console.warn('nbcluster: its server part does not answer:', error);
    }
    return false;
  }
}
