import {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';

import { addCommands } from '../commands/commands';
import { CommandIDs } from '../commands/ids';
import { IEnvironment } from '../tokens';

/** What can be done to clusters, from anywhere. */
export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbcluster:plugin',
  description: 'Commands about clusters, and where to find them.',
  autoStart: true,
  requires: [IEnvironment],
  optional: [INotebookTracker, ICommandPalette, ILauncher],
  activate: (
    app: JupyterFrontEnd,
    environment: IEnvironment,
    notebooks: INotebookTracker | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null
  ) => {
    const { clusters, trans } = environment;
    addCommands({ app, environment, notebooks });
    for (const command of IN_PALETTE) {
      palette?.addItem({ command, category: trans.__('Clusters') });
    }
    void clusters.ready.then(() => {
      if (clusters.state.phase !== 'absent') {
        launcher?.add({ command: CommandIDs.create, rank: 10 });
      }
    });
  }
};

const IN_PALETTE = [
  CommandIDs.show,
  CommandIDs.create,
  CommandIDs.refresh,
  CommandIDs.scale,
  CommandIDs.adapt,
  CommandIDs.stopAdapting,
  CommandIDs.insertCode,
  CommandIDs.copyCode,
  CommandIDs.openDashboard,
  CommandIDs.openLogs,
  CommandIDs.rename,
  CommandIDs.keep,
  CommandIDs.restart,
  CommandIDs.shutDown
];
