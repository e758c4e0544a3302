import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';

import { addCommand } from '../commands/commands';
import { CommandIDs } from '../commands/ids';
import { Sidebar } from '../sidebar/sidebar';
import { IEnvironment } from '../tokens';

/** Lists the clusters beside the main area. */
export const sidebarPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbcluster:sidebar',
  description: "Lists the Jupyter server's clusters in the left area.",
  autoStart: true,
  requires: [IEnvironment],
  optional: [ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    environment: IEnvironment,
    restorer: ILayoutRestorer | null
  ) => {
    const { clusters, trans } = environment;
    const sidebar = new Sidebar(environment);
    app.shell.add(sidebar, 'left', { rank: RANK, type: 'Clusters' });
    restorer?.add(sidebar, Sidebar.ID);
    addCommand({ app, environment, notebooks: null }, CommandIDs.show, {
      label: trans.__('Show Clusters'),
      execute: () => {
        app.shell.activateById(Sidebar.ID);
      }
    });
    void clusters.ready.then(() => {
      if (clusters.state.phase === 'absent') {
        sidebar.dispose();
      }
    });
  }
};

/** After the file browser and the running sessions. */
const RANK = 300;
