import { ReactElement } from 'react';

import { IClusterView } from '../api/schema';
import { formatBytes, formatCount, percent } from '../format';
import { figures, isReady } from '../model/figures';
import { TestIds } from '../testids';
import { useEnvironment } from './environment';

/** Workers, threads, memory and processor time, at a glance. */
export function Figures(props: {
  readonly cluster: IClusterView;
}): ReactElement {
  const { trans } = useEnvironment();
  const { cluster } = props;
  const { workers, threads, memory, memoryLimit, cpu } = figures(cluster);
  const awaited = isReady(cluster) && workers !== cluster.requested;
  return (
    <dl className="nbc-Figures">
      <Figure
        label={trans.__('Workers')}
        testId={TestIds.figureWorkers}
        value={workers}
        text={formatCount(workers)}
        of={awaited ? formatCount(cluster.requested) : ''}
      />
      <Figure
        label={trans.__('Threads')}
        testId={TestIds.figureThreads}
        value={threads}
        text={formatCount(threads)}
      />
      <Figure
        label={trans.__('Memory')}
        testId={TestIds.figureMemory}
        value={memory}
        text={formatBytes(memory)}
        of={memoryLimit ? formatBytes(memoryLimit) : ''}
        share={memoryLimit ? percent(memory, memoryLimit) : 0}
        scarce
      />
      <Figure
        label={trans.__('CPU')}
        testId={TestIds.figureCpu}
        value={cpu}
        text={`${Math.round(cpu)} %`}
        share={percent(cpu, 100)}
      />
    </dl>
  );
}

function Figure(props: {
  readonly label: string;
  readonly testId: string;
  readonly value: number;
  readonly text: string;
  /** What it could be, in small. */
  readonly of?: string;
  /** Per cent of what it could be, for a bar. */
  readonly share?: number;
  /** Whether it is bad when the bar is full. */
  readonly scarce?: boolean;
}): ReactElement {
  const { trans } = useEnvironment();
  const { label, testId, value, text, of, share, scarce = false } = props;
  const whole = of ? trans.__('of %1', of) : '';
  return (
    <div className="nbc-Figure" title={`${label}: ${text} ${whole}`.trim()}>
      <dt>{label}</dt>
      <dd data-testid={testId} data-value={value}>
        {text}
        {whole && <small> {whole}</small>}
      </dd>
      {share !== undefined && <Meter share={share} scarce={scarce} />}
    </div>
  );
}

/** A thin bar beside a figure that says the same in words. */
export function Meter(props: {
  readonly share: number;
  readonly scarce: boolean;
}): ReactElement {
  const { share, scarce } = props;
  const mood = scarce && share >= 90 ? 'nbc-mod-full' : '';
  return (
    <div className={`nbc-Meter ${mood}`} aria-hidden="true">
      <div style={{ width: `${share}%` }} />
    </div>
  );
}
