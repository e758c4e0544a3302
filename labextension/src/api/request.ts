import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/** Where the REST API of nbcluster lives, below the server's base URL. */
const API = 'nbcluster/api/v1';

/** The server answered, and the answer was not what was asked for. */
export class ApiError extends Error {
  /**
   * @param status - the HTTP status
   * @param reason - a short word for programs, such as `conflict`
   * @param message - a sentence for people
   */
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/**
 * Send one request to the REST API of nbcluster: the only place that does.
 *
 * @param endpoint - the path below the API's root, such as `clusters/ab12`;
 * the caller encodes its parts
 * @param init - method and body, as for `fetch`
 * @param settings - how to reach the server
 * @returns the decoded body, or `undefined` when there is none
 * @throws {@link ApiError} for every status that is not a success, and
 * `ServerConnection.NetworkError` when no answer came
 */
export async function request<T>(
  endpoint: string,
  init: RequestInit,
  settings: ServerConnection.ISettings
): Promise<T> {
  const url = URLExt.join(settings.baseUrl, API, endpoint);
  const response = await ServerConnection.makeRequest(url, init, settings);
  const text = await response.text();
  const body = decode(text);
  if (!response.ok) {
    const { reason, message } = (body ?? {}) as Partial<ApiError>;
    throw new ApiError(
      response.status,
      reason ?? response.statusText,
      message ?? `${endpoint}: the server answered ${response.status}`
    );
  }
  return body as T;
}

/** A proxy in between may answer with a page of HTML: that is no body. */
function decode(text: string): unknown {
  try {
    return text ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}
