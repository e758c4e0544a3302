import { figures, isAlive, isReady, progress } from '../../src/model/figures';
import { cluster, tasks, worker } from '../support/views';

describe('figures', () => {
  it('adds up the workers that can work', () => {
    const view = cluster({
      workers: [
        worker({ nthreads: 2, memory: 10, memory_limit: 100, cpu: 150 }),
        worker({ nthreads: 2, memory: 20, memory_limit: 100, cpu: 50 }),
        worker({ status: 'starting', memory: 5 })
      ]
    });
    expect(figures(view)).toEqual({
      workers: 2,
      threads: 4,
      memory: 30,
      memoryLimit: 200,
      cpu: 50
    });
  });

  it('knows no limit when one worker has none', () => {
    const view = cluster({
      workers: [worker(), worker({ memory_limit: null })]
    });
    expect(figures(view).memoryLimit).toBeNull();
  });

  it('is all zero without workers', () => {
    expect(figures(cluster())).toMatchObject({ workers: 0, cpu: 0 });
  });
});

describe('progress', () => {
  const counts = tasks({
    released: 100,
    waiting: 1,
    queued: 2,
    no_worker: 4,
    processing: 8,
    memory: 16,
    erred: 32,
    done: 1000
  });

  it('counts what somebody still wants', () => {
    const workers = [worker({ executing: 2 }), worker({ executing: 3 })];
    expect(progress(cluster({ tasks: counts, workers }))).toEqual({
      total: 63,
      finished: 16,
      failed: 32,
      running: 5,
      waiting: 10
    });
  });

  it('does not count more running tasks than there are', () => {
    const workers = [worker({ executing: 99 })];
    expect(progress(cluster({ tasks: counts, workers }))).toMatchObject({
      total: 63,
      running: 8
    });
  });
});

describe('isReady and isAlive', () => {
  it('tell a cluster that takes orders from one that will, and from one that does not', () => {
    const states = [
      'created',
      'starting',
      'running',
      'broken',
      'failed',
      'closing'
    ] as const;
    const views = states.map(status => cluster({ status }));
    expect(views.map(isAlive)).toEqual([true, true, true, true, false, false]);
    expect(views.map(isReady)).toEqual([
      false,
      false,
      true,
      true,
      false,
      false
    ]);
  });
});
