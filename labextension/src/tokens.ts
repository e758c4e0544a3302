import { ServerConnection } from '@jupyterlab/services';
import { Token } from '@lumino/coreutils';

/** What the other plugins know about the server part of nbcluster. */
export interface IServer {
  /** Where and how to send requests. */
  readonly settings: ServerConnection.ISettings;

  /**
   * Whether the Jupyter server has nbcluster enabled. Resolves once, never
   * rejects: without a server part, the user interface stays out of the way.
   */
  readonly available: Promise<boolean>;
}

/** The server part of nbcluster. */
export const IServer = new Token<IServer>(
  'nbcluster:IServer',
  'Whether the Jupyter server has nbcluster, and how to reach it.'
);
