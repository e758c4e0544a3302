import { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { cardPlugin } from './plugins/card';
import { commandsPlugin } from './plugins/commands';
import { environmentPlugin } from './plugins/environment';
import { panesPlugin } from './plugins/panes';
import { runningPlugin } from './plugins/running';
import { sidebarPlugin } from './plugins/sidebar';
import { statusBarPlugin } from './plugins/statusbar';

const plugins: readonly JupyterFrontEndPlugin<unknown>[] = [
  environmentPlugin,
  commandsPlugin,
  sidebarPlugin,
  runningPlugin,
  statusBarPlugin,
  panesPlugin,
  cardPlugin
];

export * from './tokens';
export default plugins;
