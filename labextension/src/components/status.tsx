import { TranslationBundle } from '@jupyterlab/translation';
import { ReactElement } from 'react';

import { IClusterView, Status } from '../api/schema';
import { Operation } from '../model/clusters';
import { TestIds } from '../testids';
import { useEnvironment } from './environment';

/** Names the state of a cluster, and shows it by a colour too. */
export function StatusBadge(props: {
  readonly cluster: IClusterView;
  readonly pending?: Operation | undefined;
}): ReactElement {
  const { trans } = useEnvironment();
  const { cluster, pending } = props;
  const mood = pending ? 'changing' : MOODS[cluster.status];
  return (
    <span
      className={`nbc-Status nbc-mod-${mood}`}
      data-testid={TestIds.status}
      role="status"
    >
      {pending
        ? operationText(pending, trans)
        : statusText(cluster.status, trans)}
    </span>
  );
}

const MOODS: Readonly<Record<Status, 'changing' | 'good' | 'bad' | 'over'>> = {
  created: 'changing',
  starting: 'changing',
  running: 'good',
  paused: 'changing',
  retiring: 'changing',
  broken: 'bad',
  closing: 'changing',
  closed: 'over',
  failed: 'bad'
};

/** The state of a cluster or of a worker, in a word. */
export function statusText(status: Status, trans: TranslationBundle): string {
  const texts: Readonly<Record<Status, string>> = {
    created: trans.__('Created'),
    starting: trans.__('Starting'),
    running: trans.__('Running'),
    paused: trans.__('Paused'),
    retiring: trans.__('Retiring'),
    broken: trans.__('Broken'),
    closing: trans.__('Shutting down'),
    closed: trans.__('Closed'),
    failed: trans.__('Failed')
  };
  return texts[status];
}

function operationText(operation: Operation, trans: TranslationBundle): string {
  const texts: Readonly<Record<Operation, string>> = {
    adapt: trans.__('Changing…'),
    change: trans.__('Changing…'),
    scale: trans.__('Scaling…'),
    restart: trans.__('Restarting…'),
    shutDown: trans.__('Shutting down…')
  };
  return texts[operation];
}
