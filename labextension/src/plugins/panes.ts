import {
  ILabShell,
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { DOMUtils, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { JSONExt, ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { DockLayout } from '@lumino/widgets';

import { addClusterCommand, IStage } from '../commands/commands';
import { CommandIDs } from '../commands/ids';
import { isPage } from '../dashboard/pages';
import { ClusterPane, DashboardPane, LogsPane, PaneArgs } from '../panes/panes';
import { IEnvironment } from '../tokens';

/**
 * Shows dashboards and logs in panes of the main area. Only JupyterLab has one:
 * elsewhere the card's tabs show them.
 */
export const panesPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbcluster:panes',
  description: 'Shows dashboards and logs of clusters in the main area.',
  autoStart: true,
  requires: [IEnvironment],
  optional: [ILabShell, ILayoutRestorer, INotebookTracker],
  activate: (
    app: JupyterFrontEnd,
    environment: IEnvironment,
    shell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    notebooks: INotebookTracker | null
  ) => {
    if (!shell) {
      return;
    }
    const stage: IStage = { app, environment, notebooks };
    const { trans } = environment;
    addPanes(stage, shell, restorer, {
      namespace: 'nbcluster-dashboard',
      command: CommandIDs.openDashboard,
      label: trans.__('Open Cluster Dashboard'),
      mode: 'split-right',
      args: (id, { page }) => ({ id, page: isPage(page) ? page : 'status' }),
      make: ({ id, page = 'status' }) =>
        new DashboardPane(environment, id, page)
    });
    addPanes(stage, shell, restorer, {
      namespace: 'nbcluster-logs',
      command: CommandIDs.openLogs,
      label: trans.__('Show Cluster Logs'),
      mode: 'split-bottom',
      args: id => ({ id }),
      make: ({ id }) => new LogsPane(environment, id)
    });
  }
};

/** One kind of panes. */
interface IPaneKind {
  readonly namespace: string;
  readonly command: string;
  readonly label: string;
  /** Where the first one goes; the others join it. */
  readonly mode: DockLayout.InsertMode;
  readonly args: (id: string, args: ReadonlyPartialJSONObject) => PaneArgs;
  readonly make: (args: PaneArgs) => ClusterPane;
}

function addPanes(
  stage: IStage,
  shell: ILabShell,
  restorer: ILayoutRestorer | null,
  kind: IPaneKind
): void {
  const { namespace, command, label, mode } = kind;
  const tracker = new WidgetTracker<MainAreaWidget<ClusterPane>>({ namespace });
  const open = (args: PaneArgs) => {
    const content = kind.make(args);
    const pane = new MainAreaWidget({ content });
    pane.id = DOMUtils.createDomID();
    content.argsChanged.connect(() => void tracker.save(pane));
    const neighbour = tracker.currentWidget;
    shell.add(
      pane,
      'main',
      neighbour ? { ref: neighbour.id, mode: 'tab-after' } : { mode }
    );
    void tracker.add(pane);
    return pane;
  };
  addClusterCommand(stage, command, {
    label,
    execute: ({ id }, options) => {
      const args = kind.args(id, options);
      const pane =
        tracker.find(({ content }) => JSONExt.deepEqual(content.args, args)) ??
        open(args);
      shell.activateById(pane.id);
      return pane;
    }
  });
  void restorer?.restore(tracker, {
    command,
    args: ({ content }) => ({ ...content.args, restoring: true }),
    name: ({ content: { args } }) => `${args.id}-${args.page ?? ''}`
  });
}
