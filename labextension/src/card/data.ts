import {
  IAdaptiveView,
  IClusterView,
  IOwnerView,
  ITaskCounts,
  IWorkerView,
  SCHEMA_VERSION,
  Status
} from '../api/schema';
import { isClusterId } from '../ids';

/** The kind of output that is a card. */
export const MIME_TYPE = 'application/vnd.nbcluster.card+json';

/** What a card in a notebook says. */
export interface ICard {
  readonly id: string;
  /** The cluster as it was when the cell ran. */
  readonly view: IClusterView | null;
}

/**
 * Read what a notebook says about a card.
 *
 * #### Notes
 * Anybody may have written the notebook, by hand too. So nothing of it is taken
 * for what it should be: what is not of the right type is left out.
 *
 * @returns null when it is no card
 */
export function readCard(data: unknown): ICard | null {
  const { id, view } = record(data);
  return isClusterId(id)
    ? { id, view: isRecord(view) ? readView(id, view) : null }
    : null;
}

type Hostile = Readonly<Record<string, unknown>>;

function readView(id: string, data: Hostile): IClusterView {
  return {
    id,
    name: text(data.name),
    status: text(data.status) as Status,
    message: text(data.message),
    address: text(data.address),
    dashboard_link: '',
    workers: list(data.workers).map(readWorker),
    requested: number(data.requested),
    threads_per_worker: number(data.threads_per_worker),
    capacity: number(data.capacity),
    tasks: readTasks(record(data.tasks)),
    prefixes: [],
    adaptive: isRecord(data.adaptive) ? readAdaptive(data.adaptive) : null,
    occupancy: number(data.occupancy),
    owner: isRecord(data.owner) ? readOwner(data.owner) : null,
    shared: number(data.shared),
    clients: number(data.clients),
    versions: Object.fromEntries(
      Object.entries(record(data.versions)).map(([name, version]) => [
        name,
        text(version)
      ])
    ),
    started: number(data.started),
    time: number(data.time),
    version: SCHEMA_VERSION
  };
}

function readWorker(worker: unknown): IWorkerView {
  const data = record(worker);
  const { name, memory_limit: limit } = data;
  return {
    name: typeof name === 'number' ? name : text(name),
    address: text(data.address),
    status: text(data.status) as Status,
    pid: typeof data.pid === 'number' ? data.pid : null,
    nthreads: number(data.nthreads),
    memory_limit: typeof limit === 'number' ? limit : null,
    memory: number(data.memory),
    stored: number(data.stored),
    spilled: number(data.spilled),
    cpu: number(data.cpu),
    processing: number(data.processing),
    executing: number(data.executing),
    done: number(data.done),
    restarts: number(data.restarts),
    resources: {},
    last_exit: text(data.last_exit),
    local_directory: text(data.local_directory)
  };
}

function readTasks(data: Hostile): ITaskCounts {
  return {
    released: number(data.released),
    waiting: number(data.waiting),
    queued: number(data.queued),
    no_worker: number(data.no_worker),
    processing: number(data.processing),
    memory: number(data.memory),
    erred: number(data.erred),
    done: number(data.done)
  };
}

function readAdaptive(data: Hostile): IAdaptiveView {
  const maximum = data.maximum;
  return {
    minimum: number(data.minimum),
    maximum: typeof maximum === 'number' ? maximum : null,
    target: number(data.target),
    reason: text(data.reason)
  };
}

function readOwner(data: Hostile): IOwnerView {
  return {
    kind: text(data.kind),
    path: text(data.path),
    kernel_id: text(data.kernel_id),
    kernel_name: text(data.kernel_name),
    alive: data.alive === true,
    lease: null
  };
}

function isRecord(value: unknown): value is Hostile {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function record(value: unknown): Hostile {
  return isRecord(value) ? value : {};
}

/** So many workers are shown at most: more would only serve to block the page. */
const MOST_ITEMS = 1000;

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value.slice(0, MOST_ITEMS) : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
