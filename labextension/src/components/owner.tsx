import { PathExt } from '@jupyterlab/coreutils';
import { TranslationBundle } from '@jupyterlab/translation';
import { ReactElement } from 'react';

import { IClusterView, IOwnerView } from '../api/schema';
import { CommandIDs } from '../commands/ids';
import { formatCountdown } from '../format';
import { TestIds } from '../testids';
import { useEnvironment } from './environment';
import { useNow, useRun } from './hooks';

/** On whose behalf a cluster runs and, when that is gone, for how much longer. */
export function Owner(props: {
  readonly cluster: IClusterView;
  /** Nothing can be done about a frozen cluster. */
  readonly frozen?: boolean;
}): ReactElement | null {
  const { trans } = useEnvironment();
  const { cluster, frozen } = props;
  const owner = cluster.owner;
  if (!owner) {
    return null;
  }
  return (
    <div className="nbc-Owner">
      {!frozen && owner.kind === 'notebook' && owner.path ? (
        <NotebookLink path={owner.path} />
      ) : (
        <span
          className="nbc-Owner-name"
          data-testid={TestIds.owner}
          title={owner.path}
        >
          {ownerText(owner, trans)}
        </span>
      )}
      {!frozen && owner.lease !== null && (
        <Lease id={cluster.id} lease={owner.lease} />
      )}
    </div>
  );
}

function NotebookLink(props: { readonly path: string }): ReactElement {
  const { trans, commands } = useEnvironment();
  const { path } = props;
  const text = PathExt.basename(path);
  if (!commands.hasCommand(OPEN)) {
    return (
      <span className="nbc-Owner-name" data-testid={TestIds.owner} title={path}>
        {text}
      </span>
    );
  }
  return (
    <button
      className="nbc-Owner-name nbc-LinkButton"
      data-testid={TestIds.owner}
      title={trans.__('Open %1', path)}
      onClick={() => void commands.execute(OPEN, { path })}
    >
      {text}
    </button>
  );
}

function Lease(props: {
  readonly id: string;
  readonly lease: number;
}): ReactElement {
  const { trans } = useEnvironment();
  const run = useRun();
  const left = props.lease - useNow(true);
  return (
    <span className="nbc-Owner-lease">
      <span
        data-testid={TestIds.lease}
        title={trans.__(
          'Nobody uses this cluster any more: it will be shut down unless its notebook is opened again.'
        )}
      >
        {trans.__('ends in %1', formatCountdown(left))}
      </span>
      <button
        className="nbc-LinkButton"
        data-testid={TestIds.keep}
        title={trans.__('Keep this cluster until somebody shuts it down')}
        onClick={() => void run(CommandIDs.keep, { id: props.id })}
      >
        {trans.__('Keep')}
      </button>
    </span>
  );
}

function ownerText(owner: IOwnerView, trans: TranslationBundle): string {
  switch (owner.kind) {
    case 'notebook':
      return PathExt.basename(owner.path) || trans.__('A notebook');
    case 'kernel':
      return owner.kernel_name
        ? trans.__('Kernel %1', owner.kernel_name)
        : trans.__('A kernel');
    case 'process':
      return trans.__('A program of its own');
    default:
      return trans.__('Kept until shut down');
  }
}

/** JupyterLab's command that opens a document. */
const OPEN = 'docmanager:open';
