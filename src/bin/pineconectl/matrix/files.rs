//! The texts that `pineconectl matrix init` writes: settings for homeservers and web servers, each with the place where it belongs.

use std::path::Path;

use super::args::Server;

/// What the texts are about.
pub(crate) struct Site<'a> {
    /// The server name in the settings.
    pub(crate) server_name: &'a str,
    /// The node's two server names: by address, by key.
    pub(crate) names: [&'a str; 2],
    /// Where the files are.
    pub(crate) directory: &'a Path,
    /// Where other homeservers connect to.
    pub(crate) port: u16,
}

/// The name of a server's file.
pub(crate) fn name(server: Server) -> &'static str {
    match server {
        Server::Synapse => "synapse.yaml",
        Server::Dendrite => "dendrite.yaml",
        Server::Nginx => "nginx.conf",
        Server::Caddy => "Caddyfile",
    }
}

/// A server's file.
pub(crate) fn text(server: Server, site: &Site<'_>) -> String {
    match server {
        Server::Synapse => synapse(site),
        Server::Dendrite => dendrite(site),
        Server::Nginx => nginx(site),
        Server::Caddy => caddy(site),
    }
}

fn synapse(Site { server_name, directory, port, .. }: &Site<'_>) -> String {
    let directory = directory.display();
    format!(
        r#"# Synapse on the mesh. Where to put this:
#   Debian's package: copy it to /etc/matrix-synapse/conf.d/pinecone.yaml, and remove server_name.yaml there.
#   Elsewhere: start Synapse with `--config-path homeserver.yaml --config-path {directory}/synapse.yaml`.
# What homeserver.yaml has under the same keys is replaced by this, `listeners` too.

# For a new homeserver. One that has users keeps its name for ever: leave this line out there.
server_name: "{server_name}"

listeners:
  # Other homeservers. "::" and not the overlay address: then it does not matter which starts first.
  - port: {port}
    type: http
    tls: true
    bind_addresses: ["::"]
    resources:
      - names: [federation]
  # Clients on this host: their homeserver is http://localhost:8008.
  - port: 8008
    type: http
    tls: false
    x_forwarded: true
    bind_addresses: ["127.0.0.1"]
    resources:
      # "federation" only for a web server in front (nginx.conf, Caddyfile), which then takes the place of the first listener.
      - names: [client, federation]
tls_certificate_path: "{directory}/tls.crt"
tls_private_key_path: "{directory}/tls.key"

# An overlay address is its node's key: that the node is the right one is proven before TLS begins. So the certificates of the mesh need no CA.
# Those of the Internet are verified as ever. (For names, pineconed's DNS has to be in use: see docs/matrix.md.)
federation_certificate_verification_whitelist: ["6??:*", "*.pinecone.internal"]

# Without an Internet connection every key from elsewhere would first be asked for at matrix.org, for a minute. With one that
# is always there you may take this out.
trusted_key_servers: []

# Nodes come and go. Retry within seconds, not minutes, and see `pineconectl matrix watch`.
federation:
  client_timeout: 10s
  max_long_retry_delay: 5s
  destination_min_retry_interval: 5s
  destination_max_retry_interval: 10m
"#
    )
}

fn dendrite(Site { server_name, directory, port, .. }: &Site<'_>) -> String {
    let directory = directory.display();
    format!(
        r#"# Dendrite on the mesh. It reads one file: put these lines into the sections of the same names in your dendrite.yaml, and start it with
#   dendrite --config dendrite.yaml --http-bind-address 127.0.0.1:8008 \
#     --https-bind-address :{port} --tls-cert {directory}/tls.crt --tls-key {directory}/tls.key

global:
  # For a new homeserver. One that has users keeps its name for ever.
  server_name: "{server_name}"
  # Without an Internet connection nobody is to be asked there.
  trusted_third_party_id_servers: []

federation_api:
  # An overlay address is its node's key: that the node is the right one is proven before TLS begins. Dendrite can only verify all certificates or
  # none, so a homeserver that is on the Internet too should not have this, but stand behind a web server with a certificate of a CA.
  disable_tls_validation: true
  key_perspectives: []
  # Up to 2^8 seconds between attempts.
  send_max_retries: 8
  # Newer versions refuse all IPv6 unless told otherwise; older ones do not know this key.
  allow_networks: ["0.0.0.0/0", "::/0"]
"#
    )
}

fn nginx(Site { directory, port, .. }: &Site<'_>) -> String {
    let directory = directory.display();
    format!(
        r#"# nginx in front of a homeserver on the mesh. Copy it to /etc/nginx/conf.d/pinecone-matrix.conf, then `nginx -t && systemctl reload nginx`.
# The homeserver listens on 127.0.0.1:8008 for clients and federation; take the listener on port {port} out of its settings.

server {{
    # IPv6 only: the mesh has nothing else.
    listen [::]:{port} ssl ipv6only=on;
    ssl_certificate     {directory}/tls.crt;
    ssl_certificate_key {directory}/tls.key;
    ssl_protocols TLSv1.2 TLSv1.3;

    location /_matrix {{
        # Without a path behind the port, so that nginx passes the request on as it is: its signature covers it.
        proxy_pass http://127.0.0.1:8008;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        # Pictures and files; as large as the homeserver's own limit (Synapse: max_upload_size).
        client_max_body_size 50M;
    }}
}}
"#
    )
}

fn caddy(Site { directory, port, .. }: &Site<'_>) -> String {
    let directory = directory.display();
    format!(
        r#"# Caddy in front of a homeserver on the mesh. Append it to /etc/caddy/Caddyfile, then `systemctl reload caddy`.
# The homeserver listens on 127.0.0.1:8008 for clients and federation; take the listener on port {port} out of its settings.
# Caddy takes port 80 as well; who does not want that puts {{ auto_https disable_redirects }} in front of everything else in /etc/caddy/Caddyfile.

:{port} {{
	bind [::]
	tls {directory}/tls.crt {directory}/tls.key
	reverse_proxy /_matrix/* 127.0.0.1:8008
}}
"#
    )
}

/// What pineconed's firewall has to let in.
pub(crate) fn firewall(port: u16) -> String {
    format!(
        "# Into /etc/pinecone/pineconed.toml: by default nobody on the mesh can open a connection to this host.\n\n\
         [firewall]\ninbound = [\n  {{ from = \"any\", protocol = \"tcp\", port = {port} }},  # other homeservers\n]\n"
    )
}

/// The page that says what to do with all that.
pub(crate) fn readme(site: &Site<'_>, servers: &[Server]) -> String {
    let Site { server_name, names: [by_address, by_key], directory, port } = site;
    let directory = directory.display();
    let files: Vec<String> = servers.iter().map(|server| format!("  {directory}/{}", name(*server))).collect();
    let files = files.join("\n");
    format!(
        "A Matrix homeserver on this node\n\
         ================================\n\n\
         Server name in these settings:  {server_name}\n\
         This node's server names:       {by_address}\n\
         \x20                               {by_key}\n\n\
         A homeserver keeps its server name for ever; users are called @somebody:{server_name}\n\
         Names are to be written exactly so, with the port: without, homeservers ask the Internet's DNS first.\n\n\
         1. Let other homeservers in: {directory}/pineconed.toml\n\
         2. Let the homeserver, or the web server, read its key, for example:\n\
         \x20    chown matrix-synapse: {directory}/tls.key\n\
         3. Settings; the first lines of each file say where it belongs:\n{files}\n\
         4. Clients on this host use http://localhost:8008 as their homeserver.\n\
         5. From another node:  pineconectl matrix check '{server_name}'   (port {port})\n"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn site() -> Site<'static> {
        let names = ["[600::1]:8448", "name.pinecone.internal:8448"];
        Site { server_name: names[0], names, directory: Path::new("/etc/pinecone/matrix"), port: 8449 }
    }

    #[test]
    fn every_file_says_where_it_belongs_and_names_the_certificate() {
        for server in [Server::Synapse, Server::Dendrite, Server::Nginx, Server::Caddy] {
            let text = text(server, &site());
            assert!(text.starts_with("# "), "{text}");
            for part in ["/etc/pinecone/matrix/tls.crt", "/etc/pinecone/matrix/tls.key", "8449"] {
                assert!(text.contains(part), "{server:?} lacks {part}");
            }
        }
    }

    #[test]
    fn the_firewalls_rule_is_one_that_pineconed_takes() {
        let config = pinecone::config::Config::parse(&firewall(8448), "pineconed.toml").unwrap();
        assert_ne!(config.firewall, pinecone::config::Config::default().firewall);
    }

    #[test]
    fn the_page_has_both_names() {
        let page = readme(&site(), &[Server::Nginx]);
        assert!(page.contains("[600::1]:8448") && page.contains("name.pinecone.internal:8448"), "{page}");
        assert!(page.contains("nginx.conf") && !page.contains("Caddyfile"), "{page}");
    }
}
