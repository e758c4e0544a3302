import {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStatusBar } from '@jupyterlab/statusbar';

import { StatusItem } from '../statusbar/item';
import { IEnvironment } from '../tokens';

/** Tells in the status bar how the active notebook's cluster is doing. */
export const statusBarPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbcluster:status-bar',
  description: "Shows the active notebook's cluster in the status bar.",
  autoStart: true,
  requires: [IEnvironment],
  optional: [IStatusBar, INotebookTracker],
  activate: (
    _: JupyterFrontEnd,
    environment: IEnvironment,
    statusBar: IStatusBar | null,
    notebooks: INotebookTracker | null
  ) => {
    if (statusBar && notebooks) {
      statusBar.registerStatusItem('nbcluster:status-bar', {
        item: new StatusItem(environment, notebooks),
        align: 'left',
        rank: 20
      });
    }
  }
};
