import { ClustersModel } from '../../src/model/clusters';
import { FakeServer, until } from '../support/server';
import { cluster, ID, OTHER_ID } from '../support/views';

describe('ClustersModel', () => {
  let server: FakeServer;
  let model: ClustersModel;

  beforeEach(() => {
    server = new FakeServer();
    server.clusters = [cluster({ name: 'first', time: 10 })];
    model = server.model();
  });

  afterEach(() => {
    model.dispose();
  });

  const names = () => model.state.clusters.map(({ name }) => name);

  it('asks for the clusters once, and says when it knows them', async () => {
    await model.ready;
    const another = server.model();
    expect(another.state.phase).toBe('loading');
    await another.ready;
    expect(another.state.phase).toBe('ready');
    expect(names()).toEqual(['first']);
    expect(server.asked).toEqual(['GET clusters', 'GET clusters']);
    another.dispose();
  });

  it('hears of changes from events, without asking', async () => {
    await model.ready;
    const changed = jest.fn();
    model.changed.connect(changed);
    server.announce('changed', cluster({ name: 'renamed', time: 11 }));
    server.announce('created', cluster({ id: OTHER_ID, name: 'second' }));
    expect(names()).toEqual(['renamed', 'second']);
    expect(changed).toHaveBeenCalled();
    expect(server.asked).toHaveLength(1);
  });

  it('does not listen to the events of others', async () => {
    await model.ready;
    server.events.emit({ schema_id: 'urn:other', action: 'removed' });
    expect(names()).toEqual(['first']);
  });

  it('prefers the view that the cluster made later', async () => {
    await model.ready;
    server.announce('changed', cluster({ name: 'new', time: 12 }));
    server.announce('changed', cluster({ name: 'old', time: 11 }));
    expect(names()).toEqual(['new']);
  });

  it('remembers how a cluster was that has ended, and that it has', async () => {
    await model.ready;
    server.announce('removed', cluster({ name: 'last words', time: 13 }));
    server.announce('changed', cluster({ name: 'late', time: 14 }));
    await model.refresh();
    expect(names()).toEqual([]);
    expect(model.lastView(ID)?.name).toBe('last words');
  });

  it('ends clusters that are not listed any more', async () => {
    await model.ready;
    server.clusters = [];
    await model.refresh();
    expect(names()).toEqual([]);
    expect(model.lastView(ID)?.name).toBe('first');
  });

  it('keeps a cluster of which it hears while the list is on its way', async () => {
    await model.ready;
    const refreshed = model.refresh();
    server.announce('created', cluster({ id: OTHER_ID, name: 'young' }));
    await refreshed;
    expect(names()).toContain('young');
  });

  it('puts the clusters in the order of the server', async () => {
    await model.ready;
    server.announce('created', cluster({ id: OTHER_ID, name: 'older' }));
    server.clusters = [
      cluster({ id: OTHER_ID, name: 'older' }),
      cluster({ name: 'first', time: 10 })
    ];
    await model.refresh();
    expect(names()).toEqual(['older', 'first']);
  });

  it('is absent where the server has no nbcluster, and does not ask again', async () => {
    server.failure = { status: 404, message: 'Not Found' };
    const absent = server.model();
    await absent.ready;
    expect(absent.state).toMatchObject({ phase: 'absent', error: null });
    const asked = server.asked.length;
    await absent.lookUp(ID);
    expect(server.asked).toHaveLength(asked);
    absent.dispose();
  });

  it('is not absent because of a 404 later on', async () => {
    await model.ready;
    server.failure = { status: 404, message: 'No such user server' };
    await model.refresh();
    expect(model.state.phase).toBe('ready');
    expect(model.state.error?.message).toBe('No such user server');
    expect(names()).toEqual(['first']);
  });

  it('says what went wrong, keeps what it knows, and recovers', async () => {
    await model.ready;
    server.failure = { status: 500, message: 'out of order' };
    await model.refresh();
    expect(model.state.error?.message).toBe('out of order');
    expect(names()).toEqual(['first']);
    server.failure = null;
    await model.refresh();
    expect(model.state.error).toBeNull();
  });

  it('shows what is being done, and takes over the answer', async () => {
    await model.ready;
    server.clusters = [cluster({ requested: 3, time: 20 })];
    const done = model.scale(ID, 3);
    expect(model.state.pending.get(ID)).toBe('scale');
    await done;
    expect(model.state.pending.size).toBe(0);
    expect(model.find(ID)?.requested).toBe(3);
    expect(server.requests.at(-1)).toEqual({
      what: `POST clusters/${ID}/scale`,
      body: { n: 3 }
    });
  });

  it('rejects a command that the server refuses', async () => {
    await model.ready;
    server.failure = { status: 422, message: 'n=-1 is out of range' };
    await expect(model.scale(ID, -1)).rejects.toThrow('n=-1 is out of range');
    expect(model.state.pending.size).toBe(0);
    expect(names()).toEqual(['first']);
  });

  it('learns from a refused command that the cluster is gone', async () => {
    await model.ready;
    server.clusters = [];
    await expect(model.restart(ID)).rejects.toThrow('there is no cluster');
    expect(names()).toEqual([]);
  });

  it('forgets a cluster that it has shut down', async () => {
    await model.ready;
    await model.shutDown(ID);
    expect(server.asked).toContain(`DELETE clusters/${ID}`);
    expect(names()).toEqual([]);
  });

  it('looks a cluster up that it has not heard of, once for all who ask', async () => {
    await model.ready;
    server.clusters = [
      ...server.clusters,
      cluster({ id: OTHER_ID, name: 'new' })
    ];
    await Promise.all([
      model.lookUp(OTHER_ID),
      model.lookUp(OTHER_ID),
      model.lookUp(ID)
    ]);
    expect(model.find(OTHER_ID)?.name).toBe('new');
    expect(server.asked).toHaveLength(2);
  });

  describe('while somebody watches', () => {
    // The model's clock; what it waits for runs in real time.
    const later = (seconds: number) => {
      const now = Date.now() + 1000 * seconds;
      jest.spyOn(Date, 'now').mockImplementation(() => now);
    };

    afterEach(() => {
      jest.restoreAllMocks();
    });

    it('asks when events have fallen silent', async () => {
      await model.ready;
      later(5);
      const watching = model.watch();
      await until(() => server.asked.length === 2);
      watching.dispose();
    });

    it('does not ask while events arrive', async () => {
      await model.ready;
      later(5);
      server.announce('changed', cluster({ time: 11 }));
      const watching = model.watch();
      await new Promise(resolve => setTimeout(resolve, 50));
      expect(server.asked).toHaveLength(1);
      watching.dispose();
    });

    it('asks again after an error', async () => {
      await model.ready;
      server.failure = { status: 500, message: 'out of order' };
      await model.refresh();
      server.failure = null;
      const watching = model.watch();
      await until(() => model.state.error === null);
      watching.dispose();
    });
  });
});
