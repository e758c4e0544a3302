import { obviousCluster } from '../../src/commands/pick';
import { cluster, OTHER_ID } from '../support/views';

const own = cluster({
  owner: {
    kind: 'notebook',
    path: 'work/a.ipynb',
    kernel_id: '',
    kernel_name: '',
    alive: true,
    lease: null
  }
});
const kept = cluster({ id: OTHER_ID });

describe('obviousCluster', () => {
  it('is the cluster of the active notebook', () => {
    expect(obviousCluster([kept, own], 'work/a.ipynb')).toBe(own);
  });

  it('is the only one that there is', () => {
    expect(obviousCluster([kept], 'work/b.ipynb')).toBe(kept);
    expect(obviousCluster([kept], undefined)).toBe(kept);
  });

  it('is none when there is a choice, or nothing to choose from', () => {
    expect(obviousCluster([kept, own], 'work/b.ipynb')).toBeUndefined();
    expect(obviousCluster([own, own], 'work/a.ipynb')).toBeUndefined();
    expect(obviousCluster([], 'work/a.ipynb')).toBeUndefined();
  });
});
