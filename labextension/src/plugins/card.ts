import {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';

import { RANK, rendererFactory } from '../card/renderer';
import { IEnvironment } from '../tokens';

/** Shows cards in notebooks' outputs. */
export const cardPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbcluster:card',
  description: "Shows a live card for a cluster in a notebook's output.",
  autoStart: true,
  requires: [IEnvironment, IRenderMimeRegistry],
  activate: (
    _: JupyterFrontEnd,
    environment: IEnvironment,
    registry: IRenderMimeRegistry
  ) => {
    registry.addFactory(rendererFactory(environment), RANK);
  }
};
