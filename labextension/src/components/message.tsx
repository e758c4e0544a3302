import { ReactElement } from 'react';

import { IClusterView } from '../api/schema';
import { TestIds } from '../testids';
import { Notice } from './notice';

/** What the cluster itself has to say: how far its start is, or what went wrong. */
export function Message(props: {
  readonly cluster: IClusterView;
}): ReactElement | null {
  const { status, message } = props.cluster;
  if (!message) {
    return null;
  }
  const kind =
    status === 'failed' ? 'error' : status === 'broken' ? 'warning' : 'info';
  return (
    <Notice kind={kind} testId={TestIds.message}>
      {message}
    </Notice>
  );
}
