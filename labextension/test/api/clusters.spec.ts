import { FakeServer } from '../support/server';
import { cluster, ID } from '../support/views';

describe('ClustersApi', () => {
  it('knows the address of each operation', async () => {
    const server = new FakeServer();
    server.clusters = [cluster()];
    const { api } = server;
    await api.list();
    await api.change(ID, { keep: true });
    await api.scale(ID, 4);
    await api.adapt(ID, { minimum: 1, maximum: null });
    await api.stopAdapting(ID);
    await api.restart(ID);
    await api.logs(ID, { after: 7, level: 'ERROR' });
    await api.shutDown(ID);
    expect(server.requests).toEqual([
      { what: 'GET clusters' },
      { what: `PATCH clusters/${ID}`, body: { keep: true } },
      { what: `POST clusters/${ID}/scale`, body: { n: 4 } },
      {
        what: `POST clusters/${ID}/adapt`,
        body: { minimum: 1, maximum: null }
      },
      { what: `DELETE clusters/${ID}/adapt` },
      { what: `POST clusters/${ID}/restart` },
      { what: `GET clusters/${ID}/logs` },
      { what: `DELETE clusters/${ID}` }
    ]);
  });

  it('does not let an id reach beyond its place', async () => {
    const server = new FakeServer();
    await expect(server.api.scale('../../x', 1)).rejects.toThrow();
    expect(server.asked).toEqual(['POST clusters/..%2F..%2Fx/scale']);
  });
});
