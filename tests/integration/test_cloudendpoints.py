"""The stand-ins for a cloud's credentials, asked by a plain client and by Amazon's own."""
import datetime
import http.client
import json
import os
import subprocess
import sys
import unittest
import urllib.parse

import cloudendpoints
import lib
import s3client

ROLES = "/latest/meta-data/iam/security-credentials/"
FORM = {"Version": "2011-06-15", "RoleArn": "arn:aws:iam::123456789012:role/agent", "RoleSessionName": "agent-1", "DurationSeconds": "900"}


class Cloud(unittest.TestCase):
    def setUp(self):
        self.cloud = cloudendpoints.CloudEndpoints()
        self.addCleanup(self.cloud.stop)

    def ask(self, method, path, headers=None, body=None, timeout=lib.DEADLINE):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.cloud.url).netloc, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return s3client.Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def token(self):
        return {"X-aws-ec2-metadata-token": self.ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}).body.decode()}

    def sts(self, client, **form):
        body = urllib.parse.urlencode({**FORM, **form}).encode()
        return client.call("POST", "/", body=body, headers={"content-type": "application/x-www-form-urlencoded"}, service="sts")

    # ---- instance metadata

    def test_metadata_is_told_to_who_has_a_token(self):
        token = self.token()
        self.assertEqual(self.ask("GET", ROLES, token).body, b"agent-role")
        found = json.loads(self.ask("GET", ROLES + "agent-role", token).body)
        self.assertEqual((found["Code"], found["AccessKeyId"], found["Token"]), ("Success", *self.cloud.issued[0][::2]))
        self.assertEqual(self.ask("GET", "/latest/meta-data/placement/region", token).body, b"eu-central-1")
        self.assertEqual(self.ask("GET", ROLES + "another", token).status, 404)
        self.assertEqual(self.cloud.what(), ["token", "roles", "role", "region", "role"])

    def test_metadata_without_a_good_token_is_refused(self):
        token = self.token()
        self.assertEqual(self.ask("GET", ROLES).status, 401)
        self.assertEqual(self.ask("GET", ROLES, {"X-aws-ec2-metadata-token": "made up"}).status, 401)
        self.cloud.drop_tokens()
        self.assertEqual(self.ask("GET", ROLES, token).status, 401)
        self.assertEqual(self.ask("PUT", "/latest/api/token").status, 400)
        self.assertEqual(self.ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21601"}).status, 400)
        self.assertEqual(self.ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60", "X-Forwarded-For": "10.0.0.1"}).status, 403)
        self.cloud.v1 = True
        self.assertEqual(self.ask("GET", ROLES).status, 200)

    def test_instance_without_a_role_has_none(self):
        self.cloud.role = None
        self.assertEqual(self.ask("GET", ROLES, self.token()).status, 404)

    def test_credentials_run_out_when_told_and_are_new_each_time(self):
        self.cloud.lifetime_s = 2
        token, before = self.token(), cloudendpoints.now().replace(microsecond=0)
        first, second = (json.loads(self.ask("GET", ROLES + "agent-role", token).body) for _ in range(2))
        self.assertNotEqual(first["AccessKeyId"], second["AccessKeyId"])
        until = datetime.datetime.fromisoformat(first["Expiration"].replace("Z", "+00:00"))
        self.assertIn((until - before).total_seconds(), (2, 3))

    # ---- containers

    def test_containers_are_told_and_pods_by_their_token(self):
        self.assertEqual(json.loads(self.ask("GET", "/v2/credentials/0").body)["AccessKeyId"], self.cloud.issued[0].key)
        self.assertEqual(self.ask("GET", "/v1/credentials").status, 401)
        with open(self.cloud.env("eks")["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"], encoding="utf-8") as file:
            self.assertEqual(self.ask("GET", "/v1/credentials", {"Authorization": file.read()}).status, 200)
        self.assertEqual(self.cloud.what(), ["ecs", "eks", "eks"])

    # ---- STS

    def test_role_is_assumed_by_who_signs_right(self):
        self.cloud.known = {"AKIATEST": "secret"}
        rows = [(s3client.Credentials("AKIATEST", "secret"), 200, ""), (s3client.Credentials("AKIATEST", "wrong"), 403, "SignatureDoesNotMatch"),
                (s3client.Credentials("AKIAELSE", "secret"), 403, "InvalidClientTokenId"), (None, 403, "InvalidClientTokenId")]
        for credentials, status, code in rows:
            answer = self.sts(s3client.Client(self.cloud.url, credentials), Action="AssumeRole")
            self.assertEqual((answer.status, answer.code), (status, code))
        answer = self.sts(s3client.Client(self.cloud.url, rows[0][0]), Action="AssumeRole")
        self.assertEqual((answer.field("AccessKeyId"), answer.field("SessionToken")), self.cloud.issued[1][::2])
        chained = s3client.Client(self.cloud.url, self.cloud.issued[1])
        self.assertEqual(self.sts(chained, Action="AssumeRole").status, 200, "what was issued may assume in turn")

    def test_role_is_assumed_by_a_web_identity(self):
        client = s3client.Client(self.cloud.url)
        answer = self.sts(client, Action="AssumeRoleWithWebIdentity", WebIdentityToken=self.cloud.web_token)
        self.assertEqual((answer.status, answer.field("SecretAccessKey")), (200, self.cloud.issued[0].secret))
        self.assertIn(b"is &lt;not&gt; valid &amp; never", self.sts(client, Action="AssumeRoleWithWebIdentity", WebIdentityToken="old").body)
        for wrong in ({"RoleArn": "agent"}, {"RoleSessionName": "x y"}, {"DurationSeconds": "899"}, {"Version": "1"}):
            answer = self.sts(client, Action="AssumeRoleWithWebIdentity", WebIdentityToken=self.cloud.web_token, **wrong)
            self.assertEqual((answer.status, answer.code), (400, "ValidationError"), wrong)
        self.assertEqual(self.cloud.asked[0].form["RoleSessionName"], "agent-1")

    # ---- failures

    def test_failures_happen_so_often_and_no_more(self):
        self.cloud.fail("roles", status=500, times=2)
        self.cloud.fail("any", status=503, body=b"garbage")
        self.assertEqual(self.ask("GET", "/v2/credentials/0")[::2], (503, b"garbage"))
        token = self.token()
        self.assertEqual([self.ask("GET", ROLES, token).status for _ in range(3)], [500, 500, 200])

    def test_endpoint_may_hang(self):
        self.cloud.fail("token", hang=True)
        with self.assertRaises(TimeoutError):
            self.ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, timeout=0.2)
        self.assertTrue(self.token())

    # ---- Amazon's own client

    def outside(self, kind, **env):
        """The access key that aws finds by this endpoint."""
        lib.need_program("aws")
        env = {"PATH": lib.PATH, "HOME": self.cloud.folder, "AWS_DEFAULT_REGION": "us-east-1", **self.cloud.env(kind), **env}
        done = subprocess.run(["aws", "configure", "export-credentials"], env=env, capture_output=True, check=False, timeout=lib.DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["AccessKeyId"]

    def test_amazons_client_finds_what_was_issued(self):
        self.assertEqual(self.outside("imds", AWS_EC2_METADATA_SERVICE_ENDPOINT=self.cloud.url + "/"), self.cloud.issued[-1].key)
        self.assertEqual(self.outside("ecs"), self.cloud.issued[-1].key)
        self.assertEqual(self.outside("eks", AWS_CONTAINER_AUTHORIZATION_TOKEN=self.cloud.eks_token), self.cloud.issued[-1].key)
        self.assertEqual(self.cloud.what("token", "role", "ecs", "eks"), ["token", "role", "ecs", "eks"])

    def test_amazons_client_assumes_a_role(self):
        lib.need_program("aws")
        self.cloud.known = {"AKIATEST": "secret"}
        done = subprocess.run(["aws", "sts", "assume-role", "--endpoint-url", self.cloud.url, "--role-arn", FORM["RoleArn"], "--role-session-name", "x1"],
                              env={"PATH": lib.PATH, "HOME": self.cloud.folder, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIATEST",
                                   "AWS_SECRET_ACCESS_KEY": "secret"}, capture_output=True, check=False, timeout=lib.DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["Credentials"]["SessionToken"], self.cloud.issued[0].token)


class Real(unittest.TestCase):
    def test_clouds_own_addresses_in_a_network_of_its_own(self):
        lib.need_program("unshare")
        if subprocess.run(["unshare", "-n" if os.geteuid() == 0 else "-rn", "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("needs network namespaces")
        ask = ("import os, urllib.request as r\n"
               "print(r.urlopen('http://169.254.170.2' + os.environ['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']).status)\n"
               "print(r.urlopen(r.Request('http://169.254.169.254/latest/api/token', method='PUT',"
               " headers={'X-aws-ec2-metadata-token-ttl-seconds': '9'})).status)")
        done = subprocess.run([sys.executable, cloudendpoints.__file__, "exec", "ecs", "--real", "--", sys.executable, "-c", ask],
                              capture_output=True, check=False, timeout=lib.DEADLINE, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, "200\n200\n"), done.stderr)
        self.assertEqual([json.loads(line)["what"] for line in done.stderr.splitlines()], ["ecs", "token"])


if __name__ == "__main__":
    lib.main()
