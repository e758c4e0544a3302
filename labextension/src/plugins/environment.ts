import {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IThemeManager } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { ClustersApi } from '../api/clusters';
import { ClustersModel } from '../model/clusters';
import { ThemeModel } from '../model/theme';
import { IEnvironment } from '../tokens';

/** Keeps track of the server's clusters, for everything else to show. */
export const environmentPlugin: JupyterFrontEndPlugin<IEnvironment> = {
  id: 'nbcluster:clusters',
  description: "Keeps track of the Jupyter server's clusters.",
  autoStart: true,
  provides: IEnvironment,
  optional: [ITranslator, IThemeManager],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    themes: IThemeManager | null
  ): IEnvironment => {
    const { serverSettings, events } = app.serviceManager;
    return {
      baseUrl: serverSettings.baseUrl,
      clusters: new ClustersModel({
        api: new ClustersApi(serverSettings),
        events: events.stream
      }),
      commands: app.commands,
      theme: new ThemeModel(themes),
      trans: (translator ?? nullTranslator).load('nbcluster')
    };
  }
};
