import { readCard } from '../../src/card/data';
import { cluster, ID, tasks, worker } from '../support/views';

describe('readCard', () => {
  it('reads what the kernel wrote', () => {
    const view = cluster({
      workers: [worker({ name: 'gpu' })],
      tasks: tasks({ memory: 3 }),
      versions: { nbcluster: '0.1.0' },
      owner: {
        kind: 'notebook',
        path: 'a.ipynb',
        kernel_id: 'k',
        kernel_name: 'python3',
        alive: true,
        lease: null
      },
      adaptive: { minimum: 1, maximum: null, target: 2, reason: 'work' }
    });
    const data = JSON.parse(
      JSON.stringify({ version: 1, id: ID, view })
    ) as unknown;
    expect(readCard(data)).toEqual({ id: ID, view });
  });

  it('needs no view', () => {
    expect(readCard({ version: 1, id: ID })).toEqual({ id: ID, view: null });
    expect(readCard({ id: ID, view: 'hello' })?.view).toBeNull();
  });

  it.each([null, 'text', 7, [], {}, { id: '../x' }, { id: 12 }])(
    'is no card: %j',
    data => {
      expect(readCard(data)).toBeNull();
    }
  );

  it('leaves out whatever is not what it should be', () => {
    const view = readCard({
      id: ID,
      view: {
        id: '../evil',
        name: { toString: 'x' },
        status: 7,
        dashboard_link: 'javascript:alert(1)',
        workers: { length: 1e9 },
        tasks: [1, 2],
        capacity: '8',
        requested: null,
        owner: 'me',
        adaptive: 1,
        versions: { python: {} },
        time: Infinity
      }
    })?.view;
    expect(view).toEqual(
      cluster({
        id: ID,
        name: '',
        status: '' as never,
        address: '',
        capacity: 0,
        threads_per_worker: 0,
        versions: { python: '' },
        started: 0,
        time: 0
      })
    );
  });

  it('takes workers of any shape, and not too many', () => {
    const workers = [
      null,
      { name: ['x'], memory: 'much' },
      ...Array.from({ length: 5000 }, () => ({}))
    ];
    const view = readCard({ id: ID, view: { workers } })?.view;
    expect(view?.workers).toHaveLength(1000);
    expect(view?.workers[1]).toMatchObject({ name: '', memory: 0 });
  });
});
