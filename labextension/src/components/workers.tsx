import { ReactElement } from 'react';

import { IClusterView, IWorkerView } from '../api/schema';
import { formatBytes, formatCount, percent } from '../format';
import { TestIds } from '../testids';
import { useEnvironment } from './environment';
import { Meter } from './figures';
import { statusText } from './status';

/** A row for each worker: how it is, what it uses, and how its last process ended. */
export function Workers(props: {
  readonly cluster: IClusterView;
}): ReactElement {
  const { trans } = useEnvironment();
  const { workers } = props.cluster;
  if (workers.length === 0) {
    return <p className="nbc-Hint">{trans.__('There are no workers.')}</p>;
  }
  return (
    <div className="nbc-Workers">
      <table>
        <thead>
          <tr>
            <th scope="col">{trans.__('Worker')}</th>
            <th scope="col">{trans.__('State')}</th>
            <th scope="col" className="nbc-mod-number">
              {trans.__('Threads')}
            </th>
            <th scope="col">{trans.__('Memory')}</th>
            <th scope="col">{trans.__('CPU')}</th>
            <th scope="col" className="nbc-mod-number">
              {trans.__('Running')}
            </th>
            <th scope="col" className="nbc-mod-number">
              {trans.__('Done')}
            </th>
            <th scope="col" className="nbc-mod-number">
              {trans.__('Restarts')}
            </th>
          </tr>
        </thead>
        <tbody>
          {workers.map(worker => (
            <Row key={worker.name} worker={worker} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row(props: { readonly worker: IWorkerView }): ReactElement {
  const { trans } = useEnvironment();
  const { worker } = props;
  const { memory, memory_limit: limit, cpu, nthreads } = worker;
  return (
    <tr
      data-testid={TestIds.worker}
      data-worker={worker.name}
      data-status={worker.status}
    >
      <th scope="row" title={worker.address}>
        {worker.name}
      </th>
      <td>
        {statusText(worker.status, trans)}
        {worker.last_exit && (
          <small className="nbc-Workers-exit">
            {trans.__('last process: %1', worker.last_exit)}
          </small>
        )}
      </td>
      <td className="nbc-mod-number">{formatCount(nthreads)}</td>
      <td>
        {limit
          ? trans.__('%1 of %2', formatBytes(memory), formatBytes(limit))
          : formatBytes(memory)}
        {limit !== null && <Meter share={percent(memory, limit)} scarce />}
      </td>
      <td>
        {`${Math.round(cpu)} %`}
        <Meter share={percent(cpu, 100 * nthreads)} scarce={false} />
      </td>
      <td className="nbc-mod-number">{formatCount(worker.executing)}</td>
      <td className="nbc-mod-number">{formatCount(worker.done)}</td>
      <td className="nbc-mod-number">{formatCount(worker.restarts)}</td>
    </tr>
  );
}
