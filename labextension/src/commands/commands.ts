import { JupyterFrontEnd } from '@jupyterlab/application';
import {
  Clipboard,
  Dialog,
  InputDialog,
  Notification,
  showDialog
} from '@jupyterlab/apputils';
import {
  INotebookTracker,
  NotebookActions,
  NotebookPanel
} from '@jupyterlab/notebook';
import { refreshIcon } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { errorText } from '../api/errors';
import { ICapacity, IClusterView } from '../api/schema';
import { clusterIcon } from '../icons';
import { clientSnippet } from '../snippet';
import { IEnvironment } from '../tokens';
import { CommandIDs } from './ids';
import { askForNewCluster } from './newcluster';
import { pickCluster } from './pick';

/** What the commands work on. */
export interface IStage {
  readonly app: JupyterFrontEnd;
  readonly environment: IEnvironment;
  readonly notebooks: INotebookTracker | null;
}

type Args = ReadonlyPartialJSONObject;

/** Add the commands that need no place of their own in the window. */
export function addCommands(stage: IStage): void {
  const { trans, clusters } = stage.environment;
  addCommand(stage, CommandIDs.refresh, {
    label: trans.__('Refresh Clusters'),
    icon: refreshIcon,
    execute: () => clusters.refresh()
  });
  addCommand(stage, CommandIDs.create, {
    label: trans.__('New Cluster…'),
    caption: trans.__('Start a cluster that stays until it is shut down'),
    icon: clusterIcon,
    execute: () => create(stage)
  });
  addScaling(stage);
  addLife(stage);
  addClusterCommand(stage, CommandIDs.insertCode, {
    label: trans.__('Insert Code That Connects to the Cluster'),
    execute: cluster => {
      insertCode(stage, cluster);
    }
  });
  addClusterCommand(stage, CommandIDs.copyCode, {
    label: trans.__('Copy Code That Connects to the Cluster'),
    execute: ({ address }) => {
      Clipboard.copyToSystem(clientSnippet(address));
    }
  });
}

function addScaling(stage: IStage): void {
  const { trans, clusters } = stage.environment;
  addClusterCommand(stage, CommandIDs.scale, {
    label: trans.__('Scale Cluster…'),
    execute: async (cluster, args) => {
      const n = args.n ?? (await askHowMany(stage, cluster));
      if (typeof n === 'number') {
        await clusters.scale(cluster.id, n);
      }
    }
  });
  addClusterCommand(stage, CommandIDs.adapt, {
    label: trans.__('Let the Number of Workers Follow the Work'),
    execute: async ({ id, capacity }, args) => {
      const { minimum = 0, maximum = capacity } = args;
      await clusters.adapt(id, {
        minimum: Number(minimum),
        maximum: maximum === null ? null : Number(maximum)
      });
    }
  });
  addClusterCommand(stage, CommandIDs.stopAdapting, {
    label: trans.__('Keep the Number of Workers'),
    execute: ({ id }) => clusters.stopAdapting(id)
  });
}

function addLife(stage: IStage): void {
  const { trans, clusters } = stage.environment;
  addClusterCommand(stage, CommandIDs.rename, {
    label: trans.__('Rename Cluster…'),
    execute: async ({ id, name: text }) => {
      const title = trans.__('Rename cluster');
      const { value } = await InputDialog.getText({ title, text });
      if (value?.trim()) {
        await clusters.change(id, { name: value.trim() });
      }
    }
  });
  addClusterCommand(stage, CommandIDs.keep, {
    label: trans.__('Keep Cluster Until It Is Shut Down'),
    execute: ({ id }) => clusters.change(id, { keep: true })
  });
  addClusterCommand(stage, CommandIDs.restart, {
    label: trans.__('Restart Cluster…'),
    execute: async ({ id, name }) => {
      const sure = await confirm(
        trans.__('Restart “%1”?', name),
        trans.__(
          'All its tasks and results are forgotten, and all workers start afresh.'
        ),
        trans.__('Restart')
      );
      if (sure) {
        await clusters.restart(id);
      }
    }
  });
  addClusterCommand(stage, CommandIDs.shutDown, {
    label: trans.__('Shut Down Cluster…'),
    execute: async ({ id, name }, args) => {
      const sure =
        args.sure === true ||
        (await confirm(
          trans.__('Shut down “%1”?', name),
          trans.__(
            'Its workers end, and with them all results that were not fetched.'
          ),
          trans.__('Shut down')
        ));
      if (sure) {
        await clusters.shutDown(id);
      }
    }
  });
}

/** A command that shows what goes wrong, and hides where there are no clusters. */
export function addCommand(
  { environment }: IStage,
  id: string,
  options: CommandRegistry.ICommandOptions
): void {
  const { commands, clusters } = environment;
  commands.addCommand(id, {
    isVisible: () => clusters.state.phase !== 'absent',
    ...options,
    execute: async args => {
      try {
        return (await options.execute(args)) as unknown;
      } catch (error) {
        const text = errorText(error, environment.trans);
        Notification.error(text, { autoClose: 10_000 });
        return undefined;
      }
    }
  });
}

/** A command about one cluster. */
export function addClusterCommand(
  stage: IStage,
  id: string,
  options: Omit<CommandRegistry.ICommandOptions, 'execute'> & {
    readonly execute: (cluster: IClusterView, args: Args) => unknown;
  }
): void {
  addCommand(stage, id, {
    ...options,
    execute: async args => {
      const { app, environment, notebooks } = stage;
      const notebook = notebooks?.currentWidget?.context.path;
      const id = clusterIn(app, args);
      await environment.clusters.ready;
      if (args.restoring === true && !environment.clusters.find(id ?? '')) {
        return null; // what was open the last time has ended since
      }
      const cluster = await pickCluster(environment, id, notebook);
      return cluster && (await options.execute(cluster, args));
    }
  });
}

/** The id in a command's arguments; a context menu says where it was opened instead. */
function clusterIn(app: JupyterFrontEnd, args: Args): string | undefined {
  if (args.fromContextMenu === true) {
    const node = app.contextMenuHitTest(
      element => element.dataset.clusterId !== undefined
    );
    return node?.dataset.clusterId;
  }
  return typeof args.id === 'string' ? args.id : undefined;
}

async function create({ app, environment, notebooks }: IStage): Promise<void> {
  const { clusters } = environment;
  const { kernelspecs } = app.serviceManager;
  const [capacity] = await Promise.all([
    clusters.api.capacity().catch((): ICapacity | null => null), // only a hint
    kernelspecs.ready
  ]);
  const specs = Object.values(kernelspecs.specs?.kernelspecs ?? {});
  const notebook = notebooks?.currentWidget;
  const kernel = notebook?.sessionContext.session?.kernel?.name ?? '';
  const kernels = specs.flatMap(spec =>
    spec?.language.toLowerCase() === 'python' ? [spec] : []
  );
  const wish = await askForNewCluster(environment, {
    capacity,
    kernels,
    kernel: kernels.some(({ name }) => name === kernel) ? kernel : '',
    path: notebook?.context.path ?? ''
  });
  if (wish) {
    await clusters.create(wish);
  }
}

async function askHowMany(
  { environment: { trans } }: IStage,
  { name, requested }: IClusterView
): Promise<number | null> {
  const { value } = await InputDialog.getNumber({
    title: trans.__('How many workers should “%1” have?', name),
    value: requested
  });
  return value;
}

async function confirm(
  title: string,
  body: string,
  label: string
): Promise<boolean> {
  const { button } = await showDialog({
    title,
    body,
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label })]
  });
  return button.accept;
}

function insertCode(
  { app, environment, notebooks }: IStage,
  { address }: IClusterView
): void {
  const { trans } = environment;
  const code = clientSnippet(address);
  const notebook = notebooks?.currentWidget;
  if (!notebook) {
    Clipboard.copyToSystem(code);
    Notification.info(
      trans.__('No notebook is open: the code is in the clipboard instead.'),
      { autoClose: 5000 }
    );
    return;
  }
  addCell(notebook, code);
  app.shell.activateById(notebook.id);
}

/** Put code into the active cell if that is empty, else into a new one below. */
function addCell({ content }: NotebookPanel, code: string): void {
  const active = content.activeCell?.model;
  const free =
    active?.type === 'code' && active.sharedModel.getSource().trim() === '';
  if (!free) {
    NotebookActions.insertBelow(content);
  }
  content.activeCell?.model.sharedModel.setSource(code);
}
