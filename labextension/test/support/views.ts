import {
  IClusterView,
  ITaskCounts,
  IWorkerView,
  SCHEMA_VERSION
} from '../../src/api/schema';

/** No tasks at all, but for those that are given. */
export function tasks(changes: Partial<ITaskCounts> = {}): ITaskCounts {
  return {
    released: 0,
    waiting: 0,
    queued: 0,
    no_worker: 0,
    processing: 0,
    memory: 0,
    erred: 0,
    done: 0,
    ...changes
  };
}

/** An idle worker of one thread. */
export function worker(changes: Partial<IWorkerView> = {}): IWorkerView {
  return {
    name: 0,
    address: 'unix:///run/w0.sock',
    status: 'running',
    pid: 1,
    nthreads: 1,
    memory_limit: 2 ** 30,
    memory: 0,
    stored: 0,
    spilled: 0,
    cpu: 0,
    processing: 0,
    executing: 0,
    done: 0,
    restarts: 0,
    resources: {},
    last_exit: '',
    local_directory: '',
    ...changes
  };
}

/** A running cluster without workers. */
export function cluster(changes: Partial<IClusterView> = {}): IClusterView {
  return {
    id: ID,
    name: 'busy',
    status: 'running',
    message: '',
    address: 'tcp://127.0.0.1:8786',
    dashboard_link: '',
    workers: [],
    requested: 0,
    threads_per_worker: 1,
    capacity: 8,
    tasks: tasks(),
    prefixes: [],
    adaptive: null,
    occupancy: 0,
    owner: null,
    shared: 0,
    clients: 0,
    versions: {},
    started: 1,
    time: 1,
    version: SCHEMA_VERSION,
    ...changes
  };
}

export const ID = '0123456789abcdef';
export const OTHER_ID = 'fedcba9876543210';
