import { IClusterView, Status } from '../api/schema';

/** What a cluster's workers have and use, added up. */
export interface IFigures {
  /** Workers that can run tasks. */
  readonly workers: number;
  readonly threads: number;
  /** Bytes that the workers' processes hold. */
  readonly memory: number;
  /** Bytes that they may hold, or null when one of them has no limit. */
  readonly memoryLimit: number | null;
  /** Per cent of all their threads. */
  readonly cpu: number;
}

/** Add up the figures of a cluster's workers. */
export function figures(cluster: IClusterView): IFigures {
  const ready = cluster.workers.filter(
    ({ status }) => status === 'running' || status === 'paused'
  );
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  const limits = ready.map(worker => worker.memory_limit);
  const threads = sum(ready.map(worker => worker.nthreads));
  return {
    workers: ready.length,
    threads,
    memory: sum(ready.map(worker => worker.memory)),
    memoryLimit: limits.includes(null) ? null : sum(limits.map(Number)),
    cpu: threads > 0 ? sum(ready.map(worker => worker.cpu)) / threads : 0
  };
}

/** The tasks that there are right now, in the groups that people ask about. */
export interface IProgress {
  /** All of them: those that nobody wants any more are not counted. */
  readonly total: number;
  readonly finished: number;
  readonly failed: number;
  readonly running: number;
  readonly waiting: number;
}

/** Group the states of a cluster's tasks. */
export function progress({ tasks, workers }: IClusterView): IProgress {
  // Workers get a little work ahead of need: what they have is not yet running.
  const executing = workers.reduce((sum, worker) => sum + worker.executing, 0);
  const running = Math.min(tasks.processing, executing);
  const waiting =
    tasks.waiting + tasks.queued + tasks.no_worker + tasks.processing - running;
  return {
    total: waiting + running + tasks.memory + tasks.erred,
    finished: tasks.memory,
    failed: tasks.erred,
    running,
    waiting
  };
}

const ENDING: readonly Status[] = ['closing', 'closed', 'failed'];

/** Whether a cluster takes orders, or soon will. */
export function isAlive(cluster: IClusterView): boolean {
  return !ENDING.includes(cluster.status);
}

/** Whether a cluster takes orders now. */
export function isReady(cluster: IClusterView): boolean {
  return (
    isAlive(cluster) &&
    cluster.status !== 'created' &&
    cluster.status !== 'starting'
  );
}
