import { codeIcon, copyIcon } from '@jupyterlab/ui-components';
import { ReactElement } from 'react';

import { IClusterView } from '../api/schema';
import { CommandIDs } from '../commands/ids';
import { isReady } from '../model/figures';
import { clientSnippet } from '../snippet';
import { TestIds } from '../testids';
import { IconButton } from './actions';
import { useEnvironment } from './environment';
import { useRun } from './hooks';

/** What one needs to know to use a cluster from elsewhere. */
export function Info(props: { readonly cluster: IClusterView }): ReactElement {
  const { trans, commands } = useEnvironment();
  const run = useRun();
  const { cluster } = props;
  const { id, address } = cluster;
  const snippet = clientSnippet(address);
  return (
    <div className="nbc-Info" data-testid={TestIds.info}>
      <dl>
        <Fact name={trans.__('Address')} value={address || '–'} />
        <Fact name={trans.__('Id')} value={id} />
        <Fact name={trans.__('Started')} value={startedText(cluster)} />
        <Fact name={trans.__('Clients')} value={String(cluster.clients)} />
        {Object.entries(cluster.versions).map(([what, version]) => (
          <Fact key={what} name={what} value={version} />
        ))}
      </dl>
      {isReady(cluster) && (
        <figure>
          <figcaption className="nbc-Label">
            {trans.__('Connect from any notebook or script of yours')}
            <span className="nbc-Bar-space" />
            <IconButton
              icon={copyIcon}
              label={trans.__('Copy')}
              testId={TestIds.copySnippet}
              onClick={() => void run(CommandIDs.copyCode, { id })}
            />
            {commands.hasCommand(CommandIDs.insertCode) && (
              <IconButton
                icon={codeIcon}
                label={trans.__('Insert into the active notebook')}
                testId={TestIds.insertCode}
                onClick={() => void run(CommandIDs.insertCode, { id })}
              />
            )}
          </figcaption>
          <pre data-testid={TestIds.snippet}>{snippet}</pre>
        </figure>
      )}
    </div>
  );
}

function Fact(props: {
  readonly name: string;
  readonly value: string;
}): ReactElement {
  return (
    <>
      <dt>{props.name}</dt>
      <dd>{props.value}</dd>
    </>
  );
}

function startedText({ started }: IClusterView): string {
  return started > 0 ? new Date(started * 1000).toLocaleString() : '–';
}
