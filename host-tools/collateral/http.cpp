#include "host-tools/collateral/http.hpp"

#include "host-tools/base/text.hpp"

#include <cstdlib>
#include <cstring>
#include <memory>

#include <curl/curl.h>
#include <unistd.h>

namespace cvmin {

namespace {

constexpr const char *no_libcurl = "libcurl.so.4 cannot be loaded, which speaks HTTP";

struct FreeUrl {
    void operator()(CURLU *url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, FreeUrl>;

std::string part_of(CURLU *url, CURLUPart part, unsigned flags = 0) {
    char *text = nullptr;
    if (curl_url_get(url, part, &text, flags) != CURLUE_OK)
        return {};
    std::string out{text};
    curl_free(text);
    return out;
}

bool is_loopback(std::string_view host) {
    if (host == "localhost" || host == "[::1]")
        return true;
    // a literal address only: a name that begins so may lead anywhere
    return host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos;
}

// Host names are compared as libcurl writes them, so their case does not matter (RFC 3986, 6.2.2.1).
std::string origin_of(CURLU *url) {
    std::string host = part_of(url, CURLUPART_HOST);
    for (char &c : host)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return part_of(url, CURLUPART_SCHEME) + "://" + host + ':' + part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

struct FreeEasy {
    void operator()(CURL *easy) const { curl_easy_cleanup(easy); }
};
using Easy = std::unique_ptr<CURL, FreeEasy>;

struct FreeList {
    void operator()(curl_slist *list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, FreeList>;

struct Transfer {
    Bytes body;
    std::size_t limit;
    bool too_large = false;
    const std::function<bool()> *interrupted;
};

std::size_t on_data(char *data, std::size_t size, std::size_t count, void *context) {
    auto &transfer = *static_cast<Transfer *>(context);
    const std::size_t bytes = size * count; // size is 1, says libcurl's manual
    if (bytes > transfer.limit - transfer.body.size()) {
        transfer.too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    const ByteView view{reinterpret_cast<const std::byte *>(data), bytes};
    transfer.body.insert(transfer.body.end(), view.begin(), view.end());
    return bytes;
}

int on_progress(void *context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return (*static_cast<Transfer *>(context)->interrupted)() ? 1 : 0;
}

std::string header_of(CURL *easy, const char *name) {
    curl_header *header = nullptr;
    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return {};
    return header->value;
}

// "bytes 1000-1326/1327": whether it begins where we asked it to.
bool range_begins_at(std::string_view header, std::size_t from) {
    return header.starts_with("bytes " + std::to_string(from) + '-');
}

HttpAnswer::Kind kind_of(CURLcode code, const Transfer &transfer) {
    using Kind = HttpAnswer::Kind;
    if (transfer.too_large)
        return Kind::too_large;
    switch (code) {
    case CURLE_OK:
        return Kind::answered;
    case CURLE_FILESIZE_EXCEEDED:
        return Kind::too_large;
    case CURLE_OPERATION_TIMEDOUT:
        return Kind::timed_out;
    case CURLE_ABORTED_BY_CALLBACK:
        return Kind::interrupted;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
        return Kind::unreachable;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_URL_MALFORMAT:
        return Kind::refused;
    default:
        return Kind::failed;
    }
}

} // namespace

Explained<std::string> parse_service_address(const std::string &text) {
    const Url url{curl_url()};
    if (!url)
        return explain(Errc::system, no_libcurl);
    if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK)
        return explain(Errc::usage, "'" + text + "' is no address: wanted https://HOST[:PORT]");
    const std::string scheme = part_of(url.get(), CURLUPART_SCHEME);
    const std::string host = part_of(url.get(), CURLUPART_HOST);
    if (scheme != "https" && !(scheme == "http" && is_loopback(host)))
        return explain(Errc::usage, "'" + text + "': only https, or http to this machine itself");
    if (!part_of(url.get(), CURLUPART_QUERY).empty() || !part_of(url.get(), CURLUPART_FRAGMENT).empty())
        return explain(Errc::usage, "'" + text + "': an address without query and fragment is wanted");
    std::string out = part_of(url.get(), CURLUPART_URL);
    while (out.ends_with('/'))
        out.pop_back();
    return out;
}

Explained<std::string> resolve_on_origin(const std::string &base, const std::string &reference) {
    const Url url{curl_url()};
    if (!url)
        return explain(Errc::system, no_libcurl);
    if (curl_url_set(url.get(), CURLUPART_URL, base.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK)
        return explain(Errc::malformed, "the address that was asked is no URL");
    const std::string wanted = origin_of(url.get());
    // where a URL was set before, this resolves
    if (reference.empty() ||
        curl_url_set(url.get(), CURLUPART_URL, reference.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK)
        return explain(Errc::malformed, "no URL, nor one relative to what was asked");
    if (const std::string found = origin_of(url.get()); found != wanted)
        return explain(Errc::mismatch, "on " + printable_line(found) + ", wanted " + wanted);
    return part_of(url.get(), CURLUPART_URL);
}

CurlClient::CurlClient(std::string ca_file, std::function<bool()> interrupted)
    : ca_file_(std::move(ca_file)), interrupted_(std::move(interrupted)) {
    // once for the process; a failure shows in curl_easy_init
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
    (void)initialised;
    if (!ca_file_.empty())
        return;
    // The toolchain root has no certificate authorities, and a machine may have its own: as curl(1) does, and OpenSSL.
    for (const char *variable : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"})
        if (const char *file = std::getenv(variable); file != nullptr && *file != '\0') {
            ca_file_ = file;
            return;
        }
}

HttpAnswer CurlClient::send(const HttpRequest &request) {
    HttpAnswer answer;
    const Easy easy{curl_easy_init()};
    if (!easy) {
        answer.text = "libcurl cannot be started";
        return answer;
    }
    Transfer transfer{.body = {}, .limit = request.limit, .interrupted = &interrupted_};
    char why[CURL_ERROR_SIZE] = "";
    bool set = true;
    const auto option = [&](CURLoption what, auto value) {
        set = curl_easy_setopt(easy.get(), what, value) == CURLE_OK && set;
    };
    const bool plain = request.url.starts_with("http://"); // this machine: parse_service_address()
    option(CURLOPT_URL, request.url.c_str());
    option(CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
    option(CURLOPT_REDIR_PROTOCOLS_STR, "https");           // never down to plain text, nor to file:
    option(CURLOPT_FOLLOWLOCATION, request.post ? 0L : 1L); // what was posted is for whom it was posted to
    option(CURLOPT_MAXREDIRS, http_max_redirects);
    option(CURLOPT_SSL_VERIFYPEER, 1L);
    option(CURLOPT_SSL_VERIFYHOST, 2L);
    option(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!ca_file_.empty())
        option(CURLOPT_CAINFO, ca_file_.c_str());
    if (plain)
        option(CURLOPT_PROXY, ""); // this machine needs none
    option(CURLOPT_CONNECTTIMEOUT_MS,
           static_cast<long>(std::min<std::chrono::milliseconds>(http_connect_timeout, request.timeout).count()));
    option(CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
    option(CURLOPT_NOSIGNAL, 1L);
    option(CURLOPT_USERAGENT, "cvmin/" CVMIN_VERSION);
    option(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(request.limit)); // by Content-Length, before any data
    option(CURLOPT_WRITEFUNCTION, on_data);
    option(CURLOPT_WRITEDATA, static_cast<void *>(&transfer));
    option(CURLOPT_NOPROGRESS, 0L);
    option(CURLOPT_XFERINFOFUNCTION, on_progress);
    option(CURLOPT_XFERINFODATA, static_cast<void *>(&transfer));
    option(CURLOPT_ERRORBUFFER, static_cast<char *>(why));
    List headers;
    const auto header = [&](const std::string &line) {
        curl_slist *const all = curl_slist_append(headers.get(), line.c_str());
        set = all != nullptr && set;
        if (all != nullptr) {
            (void)headers.release(); // it is the beginning of `all`
            headers.reset(all);
        }
    };
    if (request.from != 0) { // If-Range: the rest of that very answer, or all of the new one
        option(CURLOPT_RANGE, (std::to_string(request.from) + '-').c_str()); // copied by libcurl
        header("If-Range: " + request.etag);
    }
    if (!request.accept.empty())
        header("Accept: " + request.accept);
    if (request.post) {
        option(CURLOPT_POST, 1L);
        option(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.post->data.size()));
        // never null, which would ask for a function to read from
        option(CURLOPT_POSTFIELDS, request.post->data.empty() ? "" : as_text(request.post->data).data());
        header("Content-Type:" + (request.post->media_type.empty() ? "" : ' ' + request.post->media_type));
        header("Expect:"); // no round trip for the answer 100
    }
    if (headers)
        option(CURLOPT_HTTPHEADER, headers.get());
    if (!set) {
        answer.text = "an option is not supported by this libcurl";
        return answer;
    }

    const CURLcode code = curl_easy_perform(easy.get());
    answer.kind = kind_of(code, transfer);
    answer.complete = code == CURLE_OK;
    answer.body = std::move(transfer.body);
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &answer.status);
    curl_off_t seconds = 0; // both forms of the header; 0: none
    if (curl_easy_getinfo(easy.get(), CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
        answer.retry_after = std::chrono::seconds{seconds};
    if (const std::string etag = header_of(easy.get(), "ETag");
        etag.starts_with('"') && header_of(easy.get(), "Accept-Ranges") == "bytes")
        answer.etag = etag;
    answer.location = header_of(easy.get(), "Location");
    answer.content_type = header_of(easy.get(), "Content-Type");
    answer.resumed = answer.status == 206 && range_begins_at(header_of(easy.get(), "Content-Range"), request.from);
    if (code != CURLE_OK) {
        answer.text = why[0] != '\0' ? why : curl_easy_strerror(code);
        if (code == CURLE_SSL_CACERT_BADFILE ||
            (code == CURLE_PEER_FAILED_VERIFICATION && ca_file_.empty() && answer.text.contains("issuer")))
            answer.text += "; --ca-file FILE (or SSL_CERT_FILE) names the authorities to verify servers with";
    }
    return answer;
}

} // namespace cvmin
