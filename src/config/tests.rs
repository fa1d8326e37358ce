use super::*;
#[test]
fn scratch() {
    for t in ["[tun]\nname = \"a b\"\n", "[tun]\n nmae = 1", "[tunn]\n", "[peering]\npeers = [\n \"tcp://a:1\",\n \"tls://b:1\"]", "tun = 3", "[tun]\nmtu = \"big\"","[tun]\nmtu = 70000", "[tun]\nmtu=1\nmtu=2", "[tun\n", "[peering]\nrequire_authenticated = \"yes\"", "[peering]\nlisten = \"tcp://[::]:1\"", "[peering]\nlisten = [\"tcp://[::]:1\",\"tcp://[::]:1\"]", "[metrics]\nlisten=\"x\"", "a=1", "[node]\nprivate_key_file = 3", "[tun]\nmtu=99999999999999999999", "tun.mtu = 1", "[[tun]]\nname=\"a\""] {
        println!("{}", Config::parse(t, "f.toml").unwrap_err());
    }
}
