import { INotebookTracker } from '@jupyterlab/notebook';
import { ReactElement } from 'react';

import { CommandIDs } from '../commands/ids';
import { clustersOf } from '../commands/pick';
import { useEnvironment, View } from '../components/environment';
import { useChanging, useClusters, useRun } from '../components/hooks';
import { statusText } from '../components/status';
import { formatCount } from '../format';
import { clusterIcon } from '../icons';
import { figures, isReady, progress } from '../model/figures';
import { TestIds } from '../testids';
import { IEnvironment } from '../tokens';

/** In the status bar: how the active notebook's cluster is doing. */
export class StatusItem extends View {
  constructor(environment: IEnvironment, notebooks: INotebookTracker) {
    super(environment);
    this.addClass('nbc-StatusItem');
    this._active = {
      changed: notebooks.currentChanged,
      path: () => notebooks.currentWidget?.context.path
    };
  }

  protected content(): ReactElement {
    return <Summary active={this._active} />;
  }

  private readonly _active: IActiveNotebook;
}

interface IActiveNotebook {
  readonly changed: INotebookTracker['currentChanged'];
  readonly path: () => string | undefined;
}

function Summary(props: {
  readonly active: IActiveNotebook;
}): ReactElement | null {
  const { trans } = useEnvironment();
  const run = useRun();
  const { active } = props;
  const { clusters } = useClusters();
  const path = useChanging(active, active.path);
  const cluster = clustersOf(path, clusters).at(0);
  if (!cluster) {
    return null;
  }
  const { workers } = figures(cluster);
  const { total, finished, failed, running, waiting } = progress(cluster);
  const state = isReady(cluster)
    ? trans._n('%1 worker', '%1 workers', workers)
    : statusText(cluster.status, trans);
  const tasks =
    running + waiting > 0
      ? trans.__(
          ', %1 of %2 tasks',
          formatCount(finished + failed),
          formatCount(total)
        )
      : '';
  return (
    <button
      title={trans.__('Cluster %1 of this notebook', cluster.name)}
      data-testid={TestIds.statusBar}
      data-cluster-id={cluster.id}
      onClick={() => void run(CommandIDs.show)}
    >
      <clusterIcon.react tag="span" width="14px" height="14px" />
      {state}
      {tasks}
    </button>
  );
}
