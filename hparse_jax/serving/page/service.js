// What the page asks of the server.

export class ServiceError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { Accept: "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The server does not answer.", 0);
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new ServiceError(body.error || `The server answers ${response.status}.`, response.status);
  }
  return body;
}

export const getModel = () => ask("v1/model");

export async function isReady() {
  const response = await fetch("readyz").catch(() => null);
  return Boolean(response?.ok);
}

export function parse(photo, consistent, signal) {
  const form = new FormData();
  form.append("photo", photo, photo.name || "photo");
  return ask(`v1/parse?formats=rle&consistent=${consistent}`, { method: "POST", body: form, signal });
}
