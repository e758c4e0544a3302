import {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';

import { connect } from './api/server';
import { IServer } from './tokens';

const server: JupyterFrontEndPlugin<IServer> = {
  id: 'nbcluster:plugin',
  description: 'Finds out whether the Jupyter server has nbcluster.',
  autoStart: true,
  provides: IServer,
  activate: (app: JupyterFrontEnd) => connect(app.serviceManager.serverSettings)
};

export * from './tokens';
export default [server];
