import { addIcon, refreshIcon } from '@jupyterlab/ui-components';
import { ReactElement } from 'react';

import { CommandIDs } from '../commands/ids';
import { IconButton } from '../components/actions';
import { useEnvironment, View } from '../components/environment';
import { useClusters, useRun, useWatch } from '../components/hooks';
import { FetchError } from '../components/notice';
import { clusterIcon } from '../icons';
import { TestIds } from '../testids';
import { IEnvironment } from '../tokens';
import { Entry } from './entry';

/** The panel beside the main area that lists all clusters of the server. */
export class Sidebar extends View {
  constructor(environment: IEnvironment) {
    super(environment);
    this.id = Sidebar.ID;
    this.addClass('nbc-Sidebar');
    this.title.icon = clusterIcon;
    this.title.caption = environment.trans.__('Clusters');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', environment.trans.__('Clusters'));
  }

  protected content(): ReactElement {
    return <Panel />;
  }
}

export namespace Sidebar {
  export const ID = 'nbcluster-sidebar';
}

function Panel(): ReactElement {
  const { clusters: model, trans } = useEnvironment();
  const run = useRun();
  const { phase, clusters, error } = useClusters();
  const element = useWatch<HTMLDivElement>(model);
  const shown =
    phase === 'loading'
      ? 'loading'
      : clusters.length > 0
        ? 'list'
        : error !== null
          ? 'error'
          : 'empty';
  return (
    <div
      ref={element}
      className="nbc-Sidebar-panel"
      data-testid={TestIds.sidebar}
      data-phase={shown}
    >
      <header className="nbc-Sidebar-head">
        <h2>{trans.__('Clusters')}</h2>
        <IconButton
          icon={addIcon}
          label={trans.__('New cluster…')}
          testId={TestIds.sidebarNew}
          onClick={() => void run(CommandIDs.create)}
        />
        <IconButton
          icon={refreshIcon}
          label={trans.__('Refresh')}
          testId={TestIds.sidebarRefresh}
          onClick={() => void run(CommandIDs.refresh)}
        />
      </header>
      {error !== null && <FetchError error={error} />}
      {shown === 'loading' && (
        <p className="nbc-Hint">{trans.__('Looking for clusters…')}</p>
      )}
      {shown === 'empty' && <Empty />}
      <ul className="nbc-Sidebar-list">
        {clusters.map(cluster => (
          <Entry key={cluster.id} cluster={cluster} />
        ))}
      </ul>
    </div>
  );
}

function Empty(): ReactElement {
  const { trans } = useEnvironment();
  const run = useRun();
  return (
    <div className="nbc-Empty" data-testid={TestIds.sidebarEmpty}>
      <clusterIcon.react tag="span" width="40px" height="40px" />
      <p>{trans.__('No cluster is running.')}</p>
      <p className="nbc-Hint">
        {trans.__('Start one here, or run this in a notebook:')}
      </p>
      <pre>{'from nbcluster import Client\nClient()'}</pre>
      <button
        className="nbc-Button"
        data-testid={TestIds.emptyNew}
        onClick={() => void run(CommandIDs.create)}
      >
        {trans.__('New cluster…')}
      </button>
    </div>
  );
}
