import { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Token } from '@lumino/coreutils';

import { ClustersModel } from './model/clusters';
import { ThemeModel } from './model/theme';

/** What all views of nbcluster share. */
export interface IEnvironment {
  readonly clusters: ClustersModel;
  readonly commands: CommandRegistry;
  readonly theme: ThemeModel;
  readonly trans: TranslationBundle;
  /** The Jupyter server's, ending in a slash. */
  readonly baseUrl: string;
}

/** What all views of nbcluster share. */
export const IEnvironment = new Token<IEnvironment>(
  'nbcluster:IEnvironment',
  "The server's clusters, and what views of them need."
);
