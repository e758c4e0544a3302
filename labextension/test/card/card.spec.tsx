import { act } from 'react';

import { Card } from '../../src/card/card';
import { readCard } from '../../src/card/data';
import { CommandIDs } from '../../src/commands/ids';
import { ClustersModel } from '../../src/model/clusters';
import { TestIds } from '../../src/testids';
import { click, IPage, openPage } from '../support/render';
import { FakeServer } from '../support/server';
import { cluster, ID } from '../support/views';

const HOSTILE = '<img src=x onerror="window.broken = true"><script>x</script>';

describe('Card', () => {
  let server: FakeServer;
  let model: ClustersModel;
  let page: IPage;

  beforeEach(async () => {
    server = new FakeServer();
    server.clusters = [cluster({ name: HOSTILE })];
    model = server.model();
    await model.ready;
    page = openPage(model);
  });

  afterEach(() => {
    page.close();
    model.dispose();
  });

  /** Show a card and wait until it knows about its cluster. */
  const show = async (data: object) => {
    page.show(<Card card={readCard(data)} />);
    await act(() => model.lookUp(ID));
  };

  it('shows a cluster of the server, and text as text', async () => {
    await show({ id: ID, view: cluster({ name: 'as it was' }) });
    expect(page.find(TestIds.card).dataset.phase).toBe('live');
    expect(page.find(TestIds.name).textContent).toBe(HOSTILE);
    expect(page.node.querySelector('img, script')).toBeNull();
  });

  it('runs commands about its cluster', async () => {
    await show({ id: ID });
    click(page.find(TestIds.shutDown));
    expect(page.ran).toEqual([{ id: CommandIDs.shutDown, args: { id: ID } }]);
  });

  it('freezes when its cluster ends', async () => {
    await show({ id: ID });
    act(() => {
      server.announce('removed', cluster({ name: 'last words', time: 2 }));
    });
    expect(page.find(TestIds.card).dataset.phase).toBe('ended');
    expect(page.find(TestIds.name).textContent).toBe('last words');
    expect(page.node.querySelectorAll('button, input, iframe')).toHaveLength(0);
  });

  it('shows how a cluster was that is unknown, and text as text', async () => {
    server.clusters = [];
    await model.refresh();
    const view = cluster({
      id: HOSTILE,
      name: HOSTILE,
      owner: {
        kind: 'notebook',
        path: HOSTILE,
        kernel_id: '',
        kernel_name: '',
        alive: true,
        lease: null
      }
    });
    await show({ id: ID, view });
    expect(page.find(TestIds.card).dataset.phase).toBe('ended');
    expect(page.find(TestIds.name).textContent).toBe(HOSTILE);
    expect(page.node.querySelector('img, script, a, iframe')).toBeNull();
  });

  it('says so when the output is no card', async () => {
    await show({ id: '../evil' });
    expect(page.find(TestIds.card).dataset.phase).toBe('invalid');
  });
});
