import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import { ReactElement, useState } from 'react';

import { IClusterView } from '../api/schema';
import { Actions, IconButton } from '../components/actions';
import { useEnvironment } from '../components/environment';
import { Figures } from '../components/figures';
import { useClusters } from '../components/hooks';
import { Message } from '../components/message';
import { Owner } from '../components/owner';
import { Scaling } from '../components/scaling';
import { StatusBadge } from '../components/status';
import { Tasks } from '../components/tasks';
import { isReady } from '../model/figures';
import { TestIds } from '../testids';

/** One cluster in the sidebar's list. */
export function Entry(props: { readonly cluster: IClusterView }): ReactElement {
  const { trans } = useEnvironment();
  const { pending } = useClusters();
  const [open, setOpen] = useState(true);
  const { cluster } = props;
  const { id, name, status } = cluster;
  const ready = isReady(cluster);
  return (
    <li
      className="nbc-Entry"
      data-testid={TestIds.cluster}
      data-cluster-id={id}
      data-status={status}
      aria-label={name}
    >
      <div className="nbc-Entry-head">
        <IconButton
          icon={open ? caretDownIcon : caretRightIcon}
          label={open ? trans.__('Show less') : trans.__('Show more')}
          testId={TestIds.collapse}
          expanded={open}
          onClick={() => {
            setOpen(!open);
          }}
        />
        <span className="nbc-Name" data-testid={TestIds.name} title={name}>
          {name}
        </span>
        <StatusBadge cluster={cluster} pending={pending.get(id)} />
      </div>
      <div className="nbc-Entry-body">
        <Owner cluster={cluster} />
        <Message cluster={cluster} />
        {ready && open && <Figures cluster={cluster} />}
        {ready && <Tasks cluster={cluster} />}
        {ready && open && <Scaling cluster={cluster} />}
        {open && (
          <Actions
            cluster={cluster}
            which={['dashboard', 'logs', 'code', 'restart', 'shutDown']}
          />
        )}
      </div>
    </li>
  );
}
