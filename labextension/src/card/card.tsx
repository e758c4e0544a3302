import { ReactElement, useEffect, useState } from 'react';

import { IClusterView } from '../api/schema';
import { Actions } from '../components/actions';
import { Dashboard } from '../components/dashboard';
import { useEnvironment } from '../components/environment';
import { Figures } from '../components/figures';
import { useClusters, useWatch } from '../components/hooks';
import { Info } from '../components/info';
import { Logs } from '../components/logs';
import { Message } from '../components/message';
import { FetchError, Notice } from '../components/notice';
import { Owner } from '../components/owner';
import { Scaling } from '../components/scaling';
import { StatusBadge } from '../components/status';
import { ITab, Tabs } from '../components/tabs';
import { Tasks } from '../components/tasks';
import { Workers } from '../components/workers';
import { Page } from '../dashboard/pages';
import { formatTime } from '../format';
import { clusterIcon } from '../icons';
import { isReady } from '../model/figures';
import { TestIds } from '../testids';
import { ICard } from './data';

/**
 * A cluster in a notebook's output.
 *
 * It talks to the Jupyter server, not to a kernel: so it works while the kernel
 * is busy or dead, and when the notebook is opened again.
 */
export function Card(props: { readonly card: ICard | null }): ReactElement {
  const { trans, clusters } = useEnvironment();
  const element = useWatch<HTMLDivElement>(clusters);
  const { card } = props;
  return (
    <div ref={element} className="nbc-CardFrame">
      {card ? (
        <Known key={card.id} card={card} />
      ) : (
        <div
          className="nbc-Card"
          data-testid={TestIds.card}
          data-phase="invalid"
        >
          <Notice kind="warning">
            {trans.__('This output does not say which cluster it shows.')}
          </Notice>
        </div>
      )}
    </div>
  );
}

function Known(props: { readonly card: ICard }): ReactElement {
  const { clusters } = useEnvironment();
  const { id, view } = props.card;
  const { error, clusters: all } = useClusters();
  const live = all.find(cluster => cluster.id === id);

  const [sought, setSought] = useState(false);
  useEffect(() => {
    void clusters.lookUp(id).then(() => {
      setSought(true);
    });
  }, [clusters, id]);

  if (live) {
    return <Live cluster={live} error={error} />;
  }
  const last = clusters.lastView(id) ?? view;
  return (
    <Frozen
      id={id}
      cluster={last}
      phase={error !== null ? 'error' : sought ? 'ended' : 'loading'}
      error={error}
    />
  );
}

function Live(props: {
  readonly cluster: IClusterView;
  readonly error: Error | null;
}): ReactElement {
  const { trans } = useEnvironment();
  const { pending } = useClusters();
  const { cluster, error } = props;
  const [page, setPage] = useState<Page>('status');
  const tabs: readonly ITab[] = [
    {
      testId: TestIds.tabOverview,
      label: trans.__('Overview'),
      content: () => (
        <div className="nbc-Overview">
          <Message cluster={cluster} />
          {isReady(cluster) && (
            <>
              <Figures cluster={cluster} />
              <Tasks cluster={cluster} />
              <Scaling cluster={cluster} />
            </>
          )}
        </div>
      )
    },
    {
      testId: TestIds.tabWorkers,
      label: trans.__('Workers'),
      content: () => <Workers cluster={cluster} />
    },
    {
      testId: TestIds.tabDashboard,
      label: trans.__('Dashboard'),
      content: () => (
        <Dashboard cluster={cluster} page={page} onPage={setPage} dockable />
      )
    },
    {
      testId: TestIds.tabLogs,
      label: trans.__('Logs'),
      content: () => <Logs cluster={cluster} />
    },
    {
      testId: TestIds.tabInfo,
      label: trans.__('Info'),
      content: () => <Info cluster={cluster} />
    }
  ];
  return (
    <div
      className="nbc-Card"
      data-testid={TestIds.card}
      data-cluster-id={cluster.id}
      data-status={cluster.status}
      data-phase="live"
    >
      <header className="nbc-Card-head">
        <Title cluster={cluster} />
        <StatusBadge cluster={cluster} pending={pending.get(cluster.id)} />
        <Owner cluster={cluster} />
        <Actions cluster={cluster} which={['restart', 'shutDown']} />
      </header>
      {error !== null && <FetchError error={error} />}
      <Tabs label={trans.__('Views of the cluster')} tabs={tabs} />
    </div>
  );
}

function Frozen(props: {
  readonly id: string;
  readonly cluster: IClusterView | null;
  readonly phase: 'ended' | 'error' | 'loading';
  readonly error: Error | null;
}): ReactElement {
  const { trans } = useEnvironment();
  const { id, cluster, phase, error } = props;
  return (
    <div
      className="nbc-Card nbc-mod-frozen"
      data-testid={TestIds.card}
      data-cluster-id={id}
      data-status={cluster?.status}
      data-phase={phase}
    >
      {cluster && (
        <header className="nbc-Card-head">
          <Title cluster={cluster} />
          <Owner cluster={cluster} frozen />
        </header>
      )}
      {phase === 'ended' && (
        <Notice kind="info" testId={TestIds.endedNotice}>
          {cluster && cluster.time > 0
            ? trans.__(
                'No longer running. This is how it was on %1 at %2.',
                new Date(cluster.time * 1000).toLocaleDateString(),
                formatTime(cluster.time)
              )
            : trans.__('This cluster is no longer running.')}
        </Notice>
      )}
      {phase === 'loading' && (
        <Notice kind="info">{trans.__('Looking for the cluster…')}</Notice>
      )}
      {error !== null && <FetchError error={error} />}
      {cluster && (
        <div className="nbc-Overview">
          <Figures cluster={cluster} />
          <Tasks cluster={cluster} />
        </div>
      )}
    </div>
  );
}

function Title(props: { readonly cluster: IClusterView }): ReactElement {
  const { trans } = useEnvironment();
  const { name } = props.cluster;
  return (
    <>
      <clusterIcon.react
        tag="span"
        className="nbc-Card-icon"
        width="18px"
        height="18px"
      />
      <span className="nbc-Name" data-testid={TestIds.name} title={name}>
        {name || trans.__('Unnamed cluster')}
      </span>
    </>
  );
}
