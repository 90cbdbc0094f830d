"""`external_data`, `model_cache` and `weights` of config.yaml (truss.md section 3)."""

from __future__ import annotations

import pytest

from penstock.truss import ConfigError, ExternalData, ModelCacheItem, WeightsItem, parse_config

DIGEST = "AB" * 32


def warnings(content: str) -> list[str]:
    return [str(warning) for warning in parse_config(content.encode(), name_default="m").warnings]


def problems(content: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(content.encode(), name_default="m")
    return [str(problem) for problem in caught.value.problems]


def test_external_data_is_read() -> None:
    content = f"""\
external_data:
- url: https://example.com/a
  local_data_path: weights/a
- {{url: "http://example.com/b", local_data_path: b, backend: http_public, name: B, sha256: {DIGEST}}}
"""
    assert parse_config(content.encode(), name_default="m").external_data == (
        ExternalData("https://example.com/a", "weights/a", "http_public", None, None),
        ExternalData("http://example.com/b", "b", "http_public", "B", DIGEST.lower()),
    )


def test_model_cache_is_read() -> None:
    content = b"""\
model_cache:
- repo_id: org/a
- repo_id: s3://bucket/b
  revision: main
  allow_patterns: ["*.json"]
  ignore_patterns: ["*.bin"]
  volume_folder: b
  use_volume: true
  kind: s3
  runtime_secret_name: aws
"""
    assert parse_config(content, name_default="m").model_cache == (
        ModelCacheItem("org/a", None, (), (), None, False, "hf", "hf_access_token"),
        ModelCacheItem("s3://bucket/b", "main", ("*.json",), ("*.bin",), "b", True, "s3", "aws"),
    )


def test_older_name_of_model_cache_is_read_with_a_warning() -> None:
    content = "hf_cache: [{repo_id: org/a}]\nmodel_cache: []\n"

    assert parse_config(content.encode(), name_default="m").model_cache == (ModelCacheItem("org/a"),)
    assert warnings(content) == ["config.yaml:1:11: hf_cache: is deprecated; write `model_cache` instead"]


def test_weights_are_read() -> None:
    content = f"""\
weights:
- {{source: "hf://org/a@main", mount_location: /models/a, auth_secret_name: token, allow_patterns: [x],
   ignore_patterns: [y]}}
- source: weights/b
  mount_location: /models/b
  auth: {{auth_method: custom_secret, auth_secret_name: other}}
  sha256: {DIGEST}
"""
    assert parse_config(content.encode(), name_default="m").weights == (
        WeightsItem("hf://org/a@main", "/models/a", {}, "token", ("x",), ("y",), None),
        WeightsItem(
            "weights/b",
            "/models/b",
            {"auth_method": "custom_secret", "auth_secret_name": "other"},
            "other",
            sha256=DIGEST.lower(),
        ),
    )


@pytest.mark.parametrize(
    "source", ["s3://b/p", "gs://b", "azure://a/c", "r2://a.b/p", "cw://b", "https://h/f", "file:///f", "/f", "../f"]
)
def test_every_source_of_weights_is_accepted(source: str) -> None:
    content = f"weights: [{{source: '{source}', mount_location: /w}}]"

    assert parse_config(content.encode(), name_default="m").weights[0].source == source


def test_oidc_is_accepted_with_one_warning() -> None:
    auth = "{auth_method: AWS_OIDC, aws_oidc_role_arn: x, aws_oidc_region: y}"

    assert warnings(f"weights: [{{source: s3://b, mount_location: /w, auth: {auth}}}]") == [
        "config.yaml:1:68: weights[0].auth.auth_method: not used: there is no OIDC here; "
        "give a secret with auth_secret_name"
    ]


def test_unknown_keys_of_items_are_warned_of() -> None:
    content = """\
external_data: [{url: "http://h/a", local_data_path: a, nam: x}]
weights: [{source: s, mount_location: /w, alow_patterns: [], auth: {auth_methd: x}}]
"""
    assert warnings(content) == [
        "config.yaml:1:62: external_data[0].nam: is not known and has no effect; did you mean `name`?",
        "config.yaml:2:58: weights[0].alow_patterns: is not known and has no effect; did you mean `allow_patterns`?",
        "config.yaml:2:81: weights[0].auth.auth_methd: is not known and has no effect; did you mean `auth_method`?",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "external_data: [{url: ftp://h/a, local_data_path: ../a}]",
            [
                "config.yaml:1:23: external_data[0].url: must begin with http:// or https://, got 'ftp://h/a'",
                "config.yaml:1:51: external_data[0].local_data_path: "
                "must be a path inside the data directory, got text '../a'",
            ],
        ),
        (
            "external_data: [{}]",
            [
                "config.yaml:1:17: external_data[0].url: is missing",
                "config.yaml:1:17: external_data[0].local_data_path: is missing",
            ],
        ),
        (
            "external_data: [{url: http://h, local_data_path: a}, {url: http://h, local_data_path: a}]",
            ["config.yaml:1:87: external_data[1].local_data_path: 'a' is the path of another entry, too"],
        ),
        (
            "external_data: [{url: http://h, local_data_path: a, backend: s3, sha256: abc}]",
            [
                "config.yaml:1:62: external_data[0].backend: must be http_public, got text 's3'",
                "config.yaml:1:74: external_data[0].sha256: must be 64 hexadecimal digits, got 'abc'",
            ],
        ),
        (
            "model_cache: [{repo_id: '', kind: ftp, use_volume: true}]",
            [
                "config.yaml:1:15: model_cache[0].volume_folder: is needed with use_volume: true; "
                "it names the folder below /app/model_cache",
                "config.yaml:1:25: model_cache[0].repo_id: must not be empty",
                "config.yaml:1:35: model_cache[0].kind: must be one of hf, gcs, s3, azure, got text 'ftp'",
            ],
        ),
        (
            "model_cache: [{repo_id: a, volume_folder: /etc, use_volume: true}]",
            ["config.yaml:1:43: model_cache[0].volume_folder: must be a path inside /app/model_cache, got text '/etc'"],
        ),
        (
            "hf_cache: [{repo_id: a}]\nmodel_cache: [{repo_id: a}]",
            [
                "config.yaml:1:11: hf_cache: is the older name of model_cache, which stands there, too; "
                "write only model_cache"
            ],
        ),
        (
            "weights: [{source: ftp://h/a, mount_location: w}]",
            [
                "config.yaml:1:20: weights[0].source: must be a local path or begin with one of hf://, s3://, gs://, "
                "azure://, r2://, cw://, https://, http://, file://, got 'ftp://h/a'",
                "config.yaml:1:47: weights[0].mount_location: must be an absolute path below /, without .., got 'w'",
            ],
        ),
        (
            "weights: [{source: 'hf:org/a', mount_location: /a/../b}]",
            [
                "config.yaml:1:20: weights[0].source: must be a local path or begin with one of hf://, s3://, gs://, "
                "azure://, r2://, cw://, https://, http://, file://, got 'hf:org/a'",
                "config.yaml:1:48: weights[0].mount_location: "
                "must be an absolute path below /, without .., got '/a/../b'",
            ],
        ),
        (
            "weights: [{source: a, mount_location: /w}, {source: b, mount_location: /w/}]",
            ["config.yaml:1:72: weights[1].mount_location: '/w/' is the mount location of another entry, too"],
        ),
        (
            "weights: [{source: a, mount_location: /, auth: {auth_method: PASSWORD}}]",
            [
                "config.yaml:1:39: weights[0].mount_location: must be an absolute path below /, without .., got '/'",
                "config.yaml:1:62: weights[0].auth.auth_method: "
                "must be one of CUSTOM_SECRET, AWS_OIDC, GCP_OIDC, got text 'PASSWORD'",
            ],
        ),
        (
            "weights: [{source: a, mount_location: /w, auth: {auth_method: CUSTOM_SECRET}}]",
            [
                "config.yaml:1:49: weights[0].auth.auth_secret_name: "
                "is missing; it is needed with auth_method CUSTOM_SECRET"
            ],
        ),
        (
            "weights: [{source: a, mount_location: /w, auth_secret_name: x, auth: {auth_secret_name: y}}]",
            ["config.yaml:1:61: weights[0].auth_secret_name: stands inside auth, too; write it only once"],
        ),
        (
            "weights: [{source: a, mount_location: /w, auth: x}, 3]",
            [
                "config.yaml:1:49: weights[0].auth: must be a mapping, got text 'x'",
                "config.yaml:1:53: weights[1]: must be a mapping, got number 3",
            ],
        ),
    ],
)
def test_bad_items_are_refused_with_their_place(content: str, expected: list[str]) -> None:
    assert problems(content) == expected
