import { listIcon } from '@jupyterlab/ui-components';
import { ISignal, Signal } from '@lumino/signaling';
import { ReactElement } from 'react';

import { IClusterView } from '../api/schema';
import { Dashboard } from '../components/dashboard';
import { useEnvironment, View } from '../components/environment';
import { useClusters, useWatch } from '../components/hooks';
import { Logs } from '../components/logs';
import { FetchError, Notice } from '../components/notice';
import { Page, pageTitle } from '../dashboard/pages';
import { dashboardIcon } from '../icons';
import { TestIds } from '../testids';
import { IEnvironment } from '../tokens';

/** What brings a pane back when the page is loaded again. */
export type PaneArgs = Readonly<{ id: string; page?: Page }>;

/** Something about one cluster, in the main area. */
export abstract class ClusterPane extends View {
  constructor(
    environment: IEnvironment,
    readonly clusterId: string
  ) {
    super(environment);
    this.addClass('nbc-Pane');
  }

  abstract get args(): PaneArgs;

  /** Emitted when `args` are others. */
  get argsChanged(): ISignal<this, void> {
    return this._argsChanged;
  }

  protected get clusterName(): string {
    const { clusters, trans } = this.environment;
    return clusters.find(this.clusterId)?.name ?? trans.__('Cluster');
  }

  protected readonly _argsChanged = new Signal<this, void>(this);
}

/** A page of a cluster's dashboard. */
export class DashboardPane extends ClusterPane {
  constructor(
    environment: IEnvironment,
    id: string,
    private _page: Page
  ) {
    super(environment, id);
    this.title.icon = dashboardIcon;
    this._entitle();
  }

  get args(): PaneArgs {
    return { id: this.clusterId, page: this._page };
  }

  showPage(page: Page): void {
    this._page = page;
    this._entitle();
    this.update();
    this._argsChanged.emit();
  }

  protected content(): ReactElement {
    return (
      <Pane id={this.clusterId} testId={TestIds.dashboardPane}>
        {cluster => (
          <Dashboard
            cluster={cluster}
            page={this._page}
            onPage={page => {
              this.showPage(page);
            }}
            dockable={false}
          />
        )}
      </Pane>
    );
  }

  private _entitle(): void {
    const { trans } = this.environment;
    this.title.label = `${this.clusterName}: ${pageTitle(this._page, trans)}`;
    this.title.caption = trans.__('Dashboard of %1', this.clusterName);
  }
}

/** A cluster's log. */
export class LogsPane extends ClusterPane {
  constructor(environment: IEnvironment, id: string) {
    super(environment, id);
    const { trans } = environment;
    this.title.icon = listIcon;
    this.title.label = trans.__('%1: Logs', this.clusterName);
    this.title.caption = trans.__('Logs of %1', this.clusterName);
  }

  get args(): PaneArgs {
    return { id: this.clusterId };
  }

  protected content(): ReactElement {
    return (
      <Pane id={this.clusterId} testId={TestIds.logsPane}>
        {cluster => <Logs cluster={cluster} />}
      </Pane>
    );
  }
}

/** Something about a cluster, as long as there is such a cluster. */
function Pane(props: {
  readonly id: string;
  readonly testId: string;
  readonly children: (cluster: IClusterView) => ReactElement;
}): ReactElement {
  const { trans, clusters: model } = useEnvironment();
  const { id, testId, children } = props;
  const { phase, clusters, error } = useClusters();
  const element = useWatch<HTMLDivElement>(model);
  const cluster = clusters.find(each => each.id === id);
  return (
    <div
      ref={element}
      className="nbc-Pane-content"
      data-testid={testId}
      data-cluster-id={id}
    >
      {error !== null && <FetchError error={error} />}
      {cluster
        ? children(cluster)
        : phase !== 'loading' &&
          error === null && (
            <Notice kind="info" testId={TestIds.endedNotice}>
              {trans.__('This cluster is no longer running.')}
            </Notice>
          )}
    </div>
  );
}
