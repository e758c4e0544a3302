import { ReactElement } from 'react';

import { IClusterView } from '../api/schema';
import { formatCount, percent } from '../format';
import { progress } from '../model/figures';
import { TestIds } from '../testids';
import { useEnvironment } from './environment';

/** How far the work is: a bar with a part for each group of tasks, and the numbers. */
export function Tasks(props: { readonly cluster: IClusterView }): ReactElement {
  const { trans } = useEnvironment();
  const { cluster } = props;
  const { tasks } = cluster;
  const { total, finished, failed, running, waiting } = progress(cluster);
  const groups = [
    { name: 'finished', count: finished, text: trans.__('finished') },
    { name: 'failed', count: failed, text: trans.__('failed') },
    { name: 'running', count: running, text: trans.__('running') },
    { name: 'waiting', count: waiting, text: trans.__('waiting') }
  ].filter(({ count }) => count > 0);
  const summary =
    total > 0
      ? trans.__('%1 of %2', formatCount(finished + failed), formatCount(total))
      : tasks.done > 0
        ? trans.__('none now, %1 done so far', formatCount(tasks.done))
        : trans.__('none yet');
  return (
    <div
      className="nbc-Tasks"
      data-testid={TestIds.tasks}
      data-total={total}
      data-finished={finished}
      data-failed={failed}
      data-running={running}
      data-waiting={waiting}
      data-value={tasks.done}
    >
      <div className="nbc-Tasks-head">
        <span className="nbc-Label">{trans.__('Tasks')}</span>
        <span className="nbc-Tasks-summary">{summary}</span>
      </div>
      <div
        className="nbc-Tasks-bar"
        role="progressbar"
        aria-label={trans.__('Tasks')}
        aria-valuemin={0}
        aria-valuemax={total}
        aria-valuenow={finished + failed}
        aria-valuetext={summary}
      >
        {groups.map(({ name, count }) => (
          <div
            key={name}
            className={`nbc-mod-${name}`}
            style={{ width: `${percent(count, total)}%` }}
          />
        ))}
      </div>
      {groups.length > 0 && (
        <ul className="nbc-Tasks-legend">
          {groups.map(({ name, count, text }) => (
            <li key={name} className={`nbc-mod-${name}`}>
              {`${formatCount(count)} ${text}`}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
