import { ServerConnection } from '@jupyterlab/services';

import { ApiError, request } from '../../src/api/request';

/** Settings whose `fetch` answers every request with the same response. */
function answering(body: string, init: ResponseInit) {
  const fetch = jest.fn<Promise<Response>, [Request]>(() =>
    Promise.resolve(new Response(body, init))
  );
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://localhost/user/jo/',
    fetch: fetch as typeof globalThis.fetch
  });
  return { fetch, settings };
}

describe('request', () => {
  it('asks below the base URL and decodes the answer', async () => {
    const { fetch, settings } = answering('[{"id": "a"}]', { status: 200 });
    await expect(request('clusters', {}, settings)).resolves.toEqual([
      { id: 'a' }
    ]);
    expect(fetch.mock.calls[0]?.[0].url).toMatch(
      '/user/jo/nbcluster/api/v1/clusters'
    );
  });

  it("turns the server's error into an ApiError with its reason", async () => {
    const body = JSON.stringify({ message: 'no such one', reason: 'unknown' });
    const { settings } = answering(body, { status: 409 });
    await expect(request('clusters/a', {}, settings)).rejects.toEqual(
      new ApiError(409, 'unknown', 'no such one')
    );
  });

  it('survives an error page of a proxy', async () => {
    const { settings } = answering('<html>', { status: 502 });
    await expect(request('clusters', {}, settings)).rejects.toMatchObject({
      status: 502,
      message: 'clusters: the server answered 502'
    });
  });
});
