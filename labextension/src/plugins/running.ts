import {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IRunningSessionManagers, IRunningSessions } from '@jupyterlab/running';
import { Signal } from '@lumino/signaling';

import { IClusterView } from '../api/schema';
import { CommandIDs } from '../commands/ids';
import { statusText } from '../components/status';
import { clusterIcon } from '../icons';
import { IEnvironment } from '../tokens';

/** Lists the clusters among everything that runs; in Notebook 7's tree too. */
export const runningPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbcluster:running',
  description: 'Lists the clusters among the running sessions.',
  autoStart: true,
  requires: [IEnvironment],
  optional: [IRunningSessionManagers],
  activate: (
    _: JupyterFrontEnd,
    environment: IEnvironment,
    managers: IRunningSessionManagers | null
  ) => {
    const { clusters } = environment;
    void clusters.ready.then(() => {
      if (clusters.state.phase !== 'absent') {
        managers?.add(new RunningClusters(environment));
      }
    });
  }
};

class RunningClusters implements IRunningSessions.IManager {
  constructor(private readonly environment: IEnvironment) {
    const { clusters, trans } = environment;
    this.name = trans.__('Clusters');
    this.shutdownLabel = trans.__('Shut Down');
    this.shutdownAllLabel = trans.__('Shut Down All');
    this.shutdownAllConfirmationText = trans.__(
      'Do you want to shut down all clusters? Their workers end, and with them all results that were not fetched.'
    );
    clusters.changed.connect(() => {
      this._compare();
    });
  }

  readonly name: string;
  readonly shutdownLabel: string;
  readonly shutdownAllLabel: string;
  readonly shutdownAllConfirmationText: string;

  /** Emitted when a row is another one; figures change each second. */
  readonly runningChanged = new Signal<this, void>(this);

  running(): IRunningSessions.IRunningItem[] {
    const { clusters, commands } = this.environment;
    return clusters.state.clusters.map(cluster => ({
      icon: () => clusterIcon,
      label: () => cluster.name,
      labelTitle: () => cluster.owner?.path ?? cluster.address,
      detail: () => this._detail(cluster),
      open: () => void commands.execute(CommandIDs.show),
      shutdown: () =>
        void commands.execute(CommandIDs.shutDown, { id: cluster.id })
    }));
  }

  refreshRunning(): void {
    void this.environment.clusters.refresh();
  }

  shutdownAll(): void {
    const { clusters, commands } = this.environment;
    for (const { id } of clusters.state.clusters) {
      void commands.execute(CommandIDs.shutDown, { id, sure: true });
    }
  }

  private _detail({ status, workers }: IClusterView): string {
    const { trans } = this.environment;
    const many = trans._n('%1 worker', '%1 workers', workers.length);
    return `${statusText(status, trans)}, ${many}`;
  }

  private _compare(): void {
    const rows = this.environment.clusters.state.clusters
      .map(cluster => `${cluster.id} ${cluster.name} ${this._detail(cluster)}`)
      .join('\n');
    if (rows !== this._rows) {
      this._rows = rows;
      this.runningChanged.emit();
    }
  }

  private _rows = '';
}
