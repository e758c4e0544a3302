import {
  codeIcon,
  LabIcon,
  listIcon,
  refreshIcon
} from '@jupyterlab/ui-components';
import { TranslationBundle } from '@jupyterlab/translation';
import { ReactElement } from 'react';

import { IClusterView } from '../api/schema';
import { CommandIDs } from '../commands/ids';
import { dashboardIcon, powerIcon } from '../icons';
import { isAlive, isReady } from '../model/figures';
import { TestIds } from '../testids';
import { useEnvironment } from './environment';
import { useClusters, useRun } from './hooks';

/** A button that shows an icon, and says in words what it does. */
export function IconButton(props: {
  readonly icon: LabIcon;
  readonly label: string;
  readonly testId: string;
  readonly disabled?: boolean;
  readonly expanded?: boolean;
  readonly onClick: () => void;
}): ReactElement {
  const { icon, label, testId, disabled, expanded, onClick } = props;
  return (
    <button
      className="nbc-IconButton"
      title={label}
      aria-label={label}
      aria-expanded={expanded}
      data-testid={testId}
      disabled={disabled}
      onClick={onClick}
    >
      <icon.react tag="span" width="16px" height="16px" />
    </button>
  );
}

interface IAction {
  readonly command: string;
  readonly testId: string;
  readonly icon: LabIcon;
  readonly label: (trans: TranslationBundle) => string;
  readonly possible: (cluster: IClusterView) => boolean;
}

const ACTIONS = {
  dashboard: {
    command: CommandIDs.openDashboard,
    testId: TestIds.openDashboard,
    icon: dashboardIcon,
    label: trans => trans.__('Open the dashboard'),
    possible: isReady
  },
  logs: {
    command: CommandIDs.openLogs,
    testId: TestIds.openLogs,
    icon: listIcon,
    label: trans => trans.__('Show the logs'),
    possible: () => true
  },
  code: {
    command: CommandIDs.insertCode,
    testId: TestIds.insertCode,
    icon: codeIcon,
    label: trans => trans.__('Insert client code into the active notebook'),
    possible: isReady
  },
  restart: {
    command: CommandIDs.restart,
    testId: TestIds.restart,
    icon: refreshIcon,
    label: trans => trans.__('Restart all workers…'),
    possible: isReady
  },
  shutDown: {
    command: CommandIDs.shutDown,
    testId: TestIds.shutDown,
    icon: powerIcon,
    label: trans => trans.__('Shut down…'),
    possible: cluster => isAlive(cluster) || cluster.status === 'failed'
  }
} satisfies Readonly<Record<string, IAction>>;

/** What can be done to a cluster, as a row of buttons. */
export function Actions(props: {
  readonly cluster: IClusterView;
  readonly which: readonly (keyof typeof ACTIONS)[];
}): ReactElement {
  const { trans, commands } = useEnvironment();
  const { pending } = useClusters();
  const run = useRun();
  const { cluster, which } = props;
  const { id } = cluster;
  const busy = pending.has(id);
  return (
    <div className="nbc-Actions" role="group" aria-label={trans.__('Actions')}>
      {which
        .map((name): IAction => ACTIONS[name])
        .filter(({ command }) => commands.hasCommand(command))
        .map(({ command, testId, icon, label, possible }) => (
          <IconButton
            key={command}
            icon={icon}
            label={label(trans)}
            testId={testId}
            disabled={busy || !possible(cluster)}
            onClick={() => void run(command, { id })}
          />
        ))}
    </div>
  );
}
