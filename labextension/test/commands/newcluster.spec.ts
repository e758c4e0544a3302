import { newCluster } from '../../src/commands/newcluster';

const empty = { name: '', workers: '', threads: '', memory: '', kernel: '' };

describe('newCluster', () => {
  it('leaves to the server what was left empty', () => {
    expect(newCluster({ ...empty, name: '  ' }, '')).toEqual({});
  });

  it('asks for what was filled in', () => {
    const fields = {
      name: ' mine ',
      workers: '0',
      threads: '2',
      memory: '2 GiB',
      kernel: 'python3'
    };
    expect(newCluster(fields, 'work/a.ipynb')).toEqual({
      name: 'mine',
      n_workers: 0,
      threads_per_worker: 2,
      memory_limit: '2 GiB',
      kernel_name: 'python3',
      path: 'work/a.ipynb'
    });
  });
});
