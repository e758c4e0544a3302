import { launchIcon, refreshIcon } from '@jupyterlab/ui-components';
import { ReactElement, useState } from 'react';

import { IClusterView } from '../api/schema';
import { CommandIDs } from '../commands/ids';
import {
  dashboardUrl,
  isPage,
  Page,
  PAGES,
  pageTitle
} from '../dashboard/pages';
import { dashboardIcon } from '../icons';
import { isReady } from '../model/figures';
import { TestIds } from '../testids';
import { IconButton } from './actions';
import { useEnvironment } from './environment';
import { useChanging, useRun } from './hooks';

/** A page of the cluster's dashboard, and the way to the others. */
export function Dashboard(props: {
  readonly cluster: IClusterView;
  readonly page: Page;
  readonly onPage: (page: Page) => void;
  /** Whether it can be moved to a pane of its own: it is in none yet. */
  readonly dockable: boolean;
}): ReactElement {
  const { trans, theme, baseUrl, commands } = useEnvironment();
  const run = useRun();
  const { cluster, page, onPage, dockable } = props;
  const { id, name } = cluster;
  const colours = useChanging(theme, () => theme.current);
  const [visit, setVisit] = useState(0);
  const url = dashboardUrl(baseUrl, id, page, colours);
  return (
    <div className="nbc-Dashboard">
      <div className="nbc-Bar">
        <select
          className="nbc-Select"
          aria-label={trans.__('Page')}
          data-testid={TestIds.dashboardPage}
          value={page}
          onChange={event => {
            if (isPage(event.target.value)) {
              onPage(event.target.value);
            }
          }}
        >
          {PAGES.map(each => (
            <option key={each} value={each}>
              {pageTitle(each, trans)}
            </option>
          ))}
        </select>
        <span className="nbc-Bar-space" />
        <IconButton
          icon={refreshIcon}
          label={trans.__('Load again')}
          testId={TestIds.dashboardReload}
          onClick={() => {
            setVisit(visit + 1);
          }}
        />
        {dockable && commands.hasCommand(CommandIDs.openDashboard) && (
          <IconButton
            icon={dashboardIcon}
            label={trans.__('Open in a pane of its own')}
            testId={TestIds.openDashboard}
            onClick={() => void run(CommandIDs.openDashboard, { id, page })}
          />
        )}
        <a
          className="nbc-IconButton"
          href={url}
          target="_blank"
          rel="noopener noreferrer"
          title={trans.__('Open in another browser tab')}
          aria-label={trans.__('Open in another browser tab')}
          data-testid={TestIds.dashboardLink}
        >
          <launchIcon.react tag="span" width="16px" height="16px" />
        </a>
      </div>
      {isReady(cluster) ? (
        <iframe
          key={visit}
          className="nbc-Dashboard-frame"
          data-testid={TestIds.dashboardFrame}
          title={trans.__('Dashboard of %1', name)}
          src={url}
        />
      ) : (
        <p className="nbc-Hint nbc-Dashboard-frame">
          {trans.__('There is a dashboard as soon as the cluster runs.')}
        </p>
      )}
    </div>
  );
}
