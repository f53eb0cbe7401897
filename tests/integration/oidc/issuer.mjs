// An OpenID Connect issuer for the tests: oidc-provider with its own sign-in pages, on the port and with the signing key
// that stdin names as JSON: {port, key, redirect_uri}.
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const { port, key, redirect_uri } = JSON.parse(readFileSync(0, "utf8"));
const issuer = `http://127.0.0.1:${port}`;
const audience = "handsent-api";

const provider = new Provider(issuer, {
  clients: [
    { client_id: "handsent", client_secret: "a client secret", redirect_uris: [redirect_uri] },
    {
      client_id: "a-service",
      client_secret: "another-client-secret",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  jwks: { keys: [key] },
  cookies: { keys: ["a key for cookies"] },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: "",
        audience: resource.split(":").pop(),
        accessTokenFormat: "jwt",
      }),
    },
  },
});
provider.listen(port, "127.0.0.1", () => console.log(`issuer of ${audience} at ${issuer}`));
