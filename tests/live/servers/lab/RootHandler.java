package lab;

import java.util.List;
import org.elasticsearch.Build;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestRequest.Method;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;

/** Answers GET / and HEAD / with name and version, as a full server does: clients ask it before anything else. */
final class RootHandler extends BaseRestHandler {

    @Override
    public String getName() {
        return "lab_root";
    }

    @Override
    public List<Route> routes() {
        return List.of(new Route(Method.GET, "/"), new Route(Method.HEAD, "/"));
    }

    @Override
    protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
        return channel -> {
            var body = channel.newBuilder().startObject();
            body.field("name", "node").field("cluster_name", "lab").field("cluster_uuid", "lab");
            body.startObject("version").field("number", Build.current().version()).field("build_flavor", "default").endObject();
            body.field("tagline", "You Know, for Search").endObject();
            channel.sendResponse(new RestResponse(RestStatus.OK, body));
        };
    }
}
